#!/bin/sh
# Writes fixtures/filters/programs.txt: what tcpdump makes of each line of
# expressions.txt on Ethernet. Needs tcpdump, no privileges.
#   = EXPRESSION
#   N;CODE JT JF K;…      the program (tcpdump -ddd), or
#   ! SENTENCE            why tcpdump refuses it
set -eu
cd "$(dirname "$0")/../fixtures/filters"
{
    echo "# Written by scripts/filter-fixtures.sh with $(tcpdump --version 2>&1 | sed -n '1p;2p' | paste -sd, -)"
    while IFS= read -r expression; do
        printf '= %s\n' "$expression"
        if program=$(tcpdump -y EN10MB -ddd -- "$expression" 2>/dev/null); then
            echo "$program" | paste -sd';' -
        else
            tcpdump -y EN10MB -ddd -- "$expression" 2>&1 >/dev/null | sed -n 's/^tcpdump: /! /p' | tail -n 1
        fi
    done <expressions.txt
} >programs.txt.new
mv programs.txt.new programs.txt
