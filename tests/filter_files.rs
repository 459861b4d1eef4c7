//! Expressions on files: the same programs, refusals and frames as tcpdump's.

mod filter_frames;

use std::collections::BTreeSet;
use std::process::Command;

use filter_frames::{fixtures, frames, have, have_libpcap, numbers_in, pcap, program};
use fullcount::capture::LinkType;
use fullcount::capture::filter::{Filter, FilterError, Program, compose, drop_all, run};

/// Expressions that tcpdump compiles without an interface, but refuses for a file.
const LIVE_ONLY: [&str; 3] = ["inbound", "outbound", "ifindex 2"];

fn len(frame: &[u8]) -> u32 {
    u32::try_from(frame.len()).unwrap()
}

fn selected(program: &Program, frames: &[Vec<u8>]) -> BTreeSet<u16> {
    let hits = frames.iter().filter(|frame| run(program, frame, len(frame)) > 0);
    hits.map(|frame| filter_frames::number(frame).unwrap()).collect()
}

fn assert_same(expression: &str, ours: &BTreeSet<u16>, theirs: &BTreeSet<u16>) {
    let differ: Vec<&u16> = ours.symmetric_difference(theirs).take(10).collect();
    assert!(differ.is_empty(), "{expression}: we {}, they {}, e.g. {differ:?}", ours.len(), theirs.len());
}

/// Against the committed programs, whatever libpcap is installed: the same
/// verdict on every frame (another version may order its code differently).
#[test]
fn fixtures_give_the_same_verdicts() {
    if !have_libpcap() {
        return;
    }
    let frames = frames(1, 3000);
    let mut both = 0;
    for fixture in fixtures() {
        let ours = Filter::for_file(&fixture.expression, LinkType::Ethernet);
        match (fixture.answer, ours) {
            (Ok(_), Err(FilterError::LiveOnly { expression })) => {
                assert!(LIVE_ONLY.contains(&expression.as_str()), "{expression} needs no interface");
            }
            (Ok(theirs), Ok(ours)) => {
                let theirs = Program::new(theirs).expect("tcpdump's program is sound");
                let hits = selected(&ours, &frames);
                assert_same(&fixture.expression, &hits, &selected(&theirs, &frames));
                both += u32::from(!hits.is_empty() && hits.len() < frames.len());
            }
            (Err(theirs), Err(FilterError::Refused { message, .. })) => {
                let theirs = theirs.trim_start_matches("can't parse filter expression: ");
                assert_eq!(message, theirs, "{}", fixture.expression);
            }
            (theirs, ours) => panic!("{}: tcpdump {theirs:?}, we {ours:?}", fixture.expression),
        }
    }
    // The frames must tell programs apart, or equality says nothing.
    assert!(both >= 110, "only {both} expressions select some and refuse some of the frames");
}

/// The installed tcpdump uses the same libpcap: instruction for instruction.
#[test]
fn programs_are_those_of_tcpdump() {
    if !have("tcpdump") || !have_libpcap() {
        return;
    }
    let mut compared = 0;
    for fixture in fixtures().iter().filter(|f| !LIVE_ONLY.contains(&f.expression.as_str())) {
        for (name, link_type) in
            [("EN10MB", LinkType::Ethernet), ("RAW", LinkType::RawIp), ("LINUX_SLL2", LinkType::LinuxSll2)]
        {
            // Both ask a name server for this one: once is enough.
            if fixture.expression.contains("nosuchhost") && name != "EN10MB" {
                continue;
            }
            let out = Command::new("tcpdump")
                .args(["-y", name, "-ddd", "--", &fixture.expression])
                .output()
                .unwrap();
            let ours = Filter::for_file(&fixture.expression, link_type);
            assert_eq!(ours.is_ok(), out.status.success(), "{name} {}: {ours:?}", fixture.expression);
            if let Ok(ours) = ours {
                let theirs = program(&String::from_utf8_lossy(&out.stdout), '\n');
                assert_eq!(ours.instructions(), theirs, "{name} {}", fixture.expression);
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

/// libpcap's own machine, through tcpdump, selects the same frames of a file.
#[test]
fn frames_are_those_of_tcpdump() {
    if !have("tcpdump") || !have_libpcap() {
        return;
    }
    let frames = frames(2, 4000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.pcap");
    std::fs::write(&path, pcap(&frames)).unwrap();
    for fixture in fixtures().iter().filter(|f| !LIVE_ONLY.contains(&f.expression.as_str())) {
        let Ok(ours) = Filter::for_file(&fixture.expression, LinkType::Ethernet) else { continue };
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.arg("-r").arg(&path).args(["-w", "-", "--", &fixture.expression]);
        let theirs: BTreeSet<u16> = numbers_in(&tcpdump.output().unwrap().stdout).into_iter().collect();
        assert_same(&fixture.expression, &selected(&ours, &frames), &theirs);
        // What a socket would be given decides the same, and keeps the snaplen.
        let composed = compose(Some(&ours), 96);
        assert!(
            frames
                .iter()
                .all(|f| { run(&composed, f, len(f)) == if run(&ours, f, len(f)) > 0 { 96 } else { 0 } })
        );
    }
}

#[test]
fn no_filter_takes_all_and_the_gate_nothing() {
    assert_eq!(run(&compose(None, 160), &[1, 2, 3], 3), 160);
    assert_eq!(run(&compose(None, 0), &[], 0), 1, "a snaplen of 0 would refuse");
    assert_eq!(run(&drop_all(), &[1, 2, 3], 3), 0);
}

#[test]
fn live_words_are_refused_for_files_in_a_sentence() {
    if !have_libpcap() {
        return;
    }
    for expression in LIVE_ONLY {
        let error = Filter::for_file(expression, LinkType::Ethernet).unwrap_err();
        assert!(error.to_string().contains("only a live interface knows"), "{error}");
    }
    // Cooked frames carry the direction.
    let inbound = Filter::for_file("inbound", LinkType::LinuxSll).unwrap();
    assert_eq!(
        [0u8, 4].map(|kind| run(&inbound, &[&[0, kind][..], &[0; 18]].concat(), 20) > 0),
        [true, false]
    );
}

/// Expression, marks, and libpcap's words.
const MARKS: [(&str, &str, &str); 21] = [
    ("foo", "^~~", "syntax error"),
    ("tcp port", "        ^", "syntax error"),
    ("host and", "     ^~~", "syntax error"),
    ("(tcp", "    ^", "syntax error"),
    ("tcp)", "   ^", "syntax error"),
    ("tcp[13", "      ^", "syntax error"),
    ("tcp and and udp", "        ^~~", "syntax error"),
    ("tcp && ip host", "              ^", "syntax error"),
    ("tcp[tcpflags] & tcp-syn", "                       ^", "syntax error"),
    ("less", "    ^", "syntax error"),
    ("tcp or (udp prot 5) and ip", "            ^~~~", "syntax error"),
    ("vlan 5000", "     ^~~~", "VLAN tag 5000 greater than maximum 4095"),
    ("port 70000", "^~~~~~~~~~", "illegal port number 70000 > 65535"),
    ("vlan 100 and port 99999", "             ^~~~~~~~~~", "illegal port number 99999 > 65535"),
    ("icmp port 80", "     ^~~~~~~", "illegal qualifier of 'port'"),
    ("ip host nosuchhost.invalid", "   ^~~~~~~~~~~~~~~~~~~~~~~", "unknown host 'nosuchhost.invalid'"),
    ("ip[0] / 0 = 1", "^~~~~~~~~", "division by zero"),
    ("tcp[0:3] = 1", "^~~~~~~", "data size must be 1, 2, or 4"),
    ("host 10.0.0.300", "^~~~~~~~~~~~~~~", "invalid IPv4 address '10.0.0.300'"),
    (
        "(ip and (tcp or udp)) and port nosuchservice or arp",
        "                          ^~~~~~~~~~~~~~~~~~",
        "unknown port 'nosuchservice'",
    ),
    ("net 10.0.0.1/8", "^~~~~~~~~~~~~~", "non-network bits set in \"10.0.0.1/8\""),
];

#[test]
fn errors_mark_the_place() {
    if !have_libpcap() {
        return;
    }
    for (expression, marks, words) in MARKS {
        let error = Filter::for_file(expression, LinkType::Ethernet).expect_err(expression).to_string();
        assert_eq!(error, format!("filter expression: {words}, at the mark\n  {expression}\n  {marks}"));
    }
}
