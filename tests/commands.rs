//! Commands of iftop, tcptrack, tcpeek and trtop (fixtures/commands.txt), each really
//! typed: the words behind the name do the job here too, or a sentence says what to
//! type, and what it says to type is taken.

#[path = "common/live.rs"]
mod live;

use live::netns::Netns;
use live::{PROGRAM, pair};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const COMMANDS: &str = include_str!("../fixtures/commands.txt");
/// Longer than any of them takes on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(40);

/// Those that are answered by a sentence, and what has to be in it.
const ANSWERED: &[(&str, &str)] = &[
    // What tcpdump refuses too.
    ("iftop -f \"gateway 1.2.3.5\"", "filter expression"),
    ("tcptrack -T network.pcap port", "filter expression"),
    ("tcptrack -i eth0 'src or dst 87.xx.xx.18'", "filter expression"),
    // What means something else here.
    ("iftop -i eth0 -N 10.0.0.0/8", "type -F 10.0.0.0/8"),
    ("tcptrack -i eth0 -r 5", "-r 5 is tcptrack's linger time"),
    ("tcptrack -i eth0 -r 5 -d", "-r 5 is tcptrack's linger time"),
    ("tcptrack -f -i eth0", "-f alone is tcptrack's fast average"),
    ("tcptrack -dfp -i eth0", "-f alone is tcptrack's fast average"),
    ("tcptrack -v", "type -V"),
    ("tcpeek -i eth0 -u 1000", "start fullcount as that user"),
    ("tcpeek --user=1000 --interface=eth0", "start fullcount as that user"),
    ("tcpeek -i eth0 -c 0", "leave it out"),
    ("tcpeek -i eth0 -c 1", "leave it out"),
    ("tcpeek -i eth0 --checksum=2", "leave it out"),
    ("tcpeek -i eth0 -t 60", "type --timeout 60"),
    ("tcpeek -i eth0 -B 2", "type --ring-mib 2"),
    ("tcpeek -i eth0 --buffer 2", "type --ring-mib 2"),
    ("tcpeek -i eth0 -l LOG_NOTICE", "leave it out"),
    ("tcpeek -i eth0 --loglevel=LOG_NOTICE", "leave it out"),
    ("tcpeek -i eth0 --promisc", "leave it out"),
    ("tcpeek -i eth0 --icmp", "leave it out"),
    // Nobody runs there in this test.
    ("tcpeekstat", "--socket"),
    ("tcpeekstat -g", "--socket"),
    ("tcpeekstat --gmetric", "--socket"),
    ("tcpeekstat -U /var/run/tcpeek/tcpeek.sock", "start fullcount with --socket"),
    ("tcpeekstat --socket=/var/run/tcpeek/tcpeek.sock", "start fullcount with --socket"),
    ("tcpeekstat -v", "type -V"),
    ("simple.py -i sample.pcap", "type -r sample.pcap"),
    ("simple.py -i /tmp/simple.pcap_", "type -r /tmp/simple.pcap_"),
    ("tcpdump -B 8192 -i any -s 100 -w sample.pcap 'tcp'", "type --ring-mib 8"),
    ("tcpdump -s 0 -i eth0 -nn -xX -w network.pcap host 192.168.24.64", "leave it out"),
];

/// The same with our name.
fn ours(line: &str) -> String {
    let (program, words) = line.split_once(' ').unwrap_or((line, ""));
    let word = if program == "tcpeekstat" { "stat " } else { "" };
    format!("{PROGRAM} {word}{words}")
}

/// What came of it: exit code, standard output, standard error.
type Outcome = (Option<i32>, String, String);

/// Types it where its interfaces and files are; once it says something, Ctrl-C.
fn typed(near: &Netns, home: &Path, line: &str) -> Outcome {
    let place = format!(
        "mount -t tmpfs tmpfs /run && mkdir /run/tcpeek && cd {0} && export HOME={0} &&",
        home.display()
    );
    let mut command =
        near.command(&format!("{place} unset XDG_CONFIG_HOME XDG_RUNTIME_DIR; exec {}", ours(line)));
    run(&mut command, line)
}

fn run(command: &mut Command, line: &str) -> Outcome {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    let reader = std::thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut text = String::new();
        let mut line = String::new();
        while out.read_line(&mut line).expect("text") > 0 {
            text += &line;
            // A table of a run on interfaces; anything else ends by itself.
            if line.contains(" UTC: rates over") {
                let _ = kill_process(pid, Signal::INT);
                break;
            }
            line.clear();
        }
        out.read_to_string(&mut text).expect("text");
        text
    });
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).expect("text");
        text
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{line}: it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (status.code(), reader.join().expect("text"), errors.join().expect("text"))
}

/// What is wrong with how a command was answered.
fn fault(line: &str, outcome: &Outcome) -> Option<String> {
    let (code, out, err) = outcome;
    let told = || Some(format!("{line}: {code:?}\n{out}{err}"));
    if let Some((_, part)) = ANSWERED.iter().find(|(answered, _)| *answered == line) {
        let is_sentence = matches!(code, Some(1 | 2)) && out.is_empty() && err.starts_with("fullcount: ");
        // A filter is shown with a mark below it.
        let short = err.lines().count() == if part.starts_with("filter") { 3 } else { 1 };
        return if is_sentence && short && err.contains(part) { None } else { told() };
    }
    let done = ["Stopped after", "All read", "Usage: ", "fullcount 0.", "fullcount stat 0."]
        .iter()
        .any(|done| out.contains(done));
    if *code == Some(0) && done { None } else { told() }
}

/// Options that a sentence says to type.
fn advised(sentence: &str) -> Option<String> {
    let (_, advice) = sentence.trim_end().split_once(": type ")?;
    let words = advice.split([',', '(']).next().unwrap_or(advice);
    let words: Vec<&str> = words.split(' ').take_while(|word| *word != "for").collect();
    Some(words.join(" "))
}

#[test]
fn all_commands_of_the_four_do_their_job_or_are_answered() {
    let test = "all_commands_of_the_four_do_their_job_or_are_answered";
    let Some((near, far)) = pair(test) else { return };
    for (number, name) in ["eth0", "eth1", "wlan0"].iter().enumerate() {
        near.veth(name, &far, &format!("w{number}"));
    }
    let home = tempfile::tempdir().expect("a directory");
    for name in ["network.pcap", "sample.pcap"] {
        let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/http_v4.pcap");
        std::fs::copy(capture, home.path().join(name)).expect("a file");
    }
    std::fs::write(home.path().join(".iftoprc"), "port-display: on\n").expect("a file");
    let lines: Vec<&str> =
        COMMANDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines.len() > 60, "{}", lines.len());
    for (answered, _) in ANSWERED {
        assert!(lines.contains(answered), "{answered} is in no document");
    }
    let (left, faults) = (Mutex::new(lines.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(line) = { left.lock().expect("no panic").next() } {
                    let outcome = typed(&near, home.path(), line);
                    let mut found: Vec<String> = fault(line, &outcome).into_iter().collect();
                    if let Some(words) = advised(&outcome.2).filter(|words| words.starts_with('-')) {
                        let again = typed(&near, home.path(), &format!("fullcount {words}"));
                        // What is missing now may be the file or nothing, but not the option.
                        if again.0 == Some(2) {
                            found.push(format!("{line}: told to type {words}, which says {}", again.2));
                        }
                    }
                    faults.lock().expect("no panic").extend(found);
                }
            });
        }
    });
    let faults = faults.into_inner().expect("no panic");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
