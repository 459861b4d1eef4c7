//! Files at the edges of what a run allows: as many interfaces as there may be,
//! filters that select nothing, time that begins with a step back.

#[allow(dead_code)]
mod files_run;
#[path = "common/frames.rs"]
mod frames;
#[path = "file_writer/mod.rs"]
mod writer;

use files_run::*;
use frames::{Ends, ethernet, ip, udp};
use fullcount::capture::LINKS_MAX;
use fullcount::capture::fileset::FileSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use writer::{Classic, Packet, Pcapng, Resolution};

/// A datagram of 10 bytes, from one of 256 clients.
fn datagram(client: u8, time_ns: u64) -> Packet {
    let ends = Ends::v4(([198, 18, 0, client], 1000), ([198, 18, 1, 1], 53));
    let data = ethernet(&[], 0x0800, &ip(ends, frames::UDP, &udp(ends, 10)));
    Packet { time_ns, len: data.len() as u32, data }
}

#[test]
fn what_the_last_interface_sent_is_in_its_flows() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("many.pcapng");
    let mut writer = Pcapng::new(false);
    writer.section();
    for _ in 0..LINKS_MAX {
        writer.interface(1, 0, Resolution::Default, &[]);
    }
    const SENT: u32 = 2;
    for interface in 0..LINKS_MAX as u32 {
        writer.enhanced(interface, Resolution::Default, &datagram(1, 1_000_000_000), Some(SENT));
    }
    std::fs::write(&path, writer.blocks.concat()).expect("written");
    let (run, lines) = lines_of(&["-r", &path.to_string_lossy()]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    // Nothing of them is told but that their speeds are not known, in one sentence.
    let notices: Vec<_> = of_type(&lines, "notice").collect();
    assert_eq!(notices.len(), 1, "{}", run.output);
    assert_eq!(notices[0]["event"], "speed_unknown");
    let message = notices[0]["message"].as_str().expect("a sentence");
    let named = format!("#7 and {} more is not known", LINKS_MAX - 8);
    assert!(message.contains(&named) && message.contains("#0=1G tells it"), "{message}");
    let by_rate = lines_of(&["-r", &path.to_string_lossy(), "--burst-threshold", "10M"]).1;
    assert_eq!(of_type(&by_rate, "notice").count(), 0, "there a burst needs no speed");
    let last = of_type(&lines, "interface").last().expect("a line");
    assert_eq!(number(&last["tx"]["packets"]), 1, "{last}");
    assert_eq!(last["top"].as_array().map(Vec::len), Some(1), "{last}");
}

#[test]
fn the_speed_of_an_interface_that_no_file_has_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("eth.pcap");
    let packets = [datagram(1, 1_000_000_000), datagram(2, 1_000_500_000)];
    std::fs::write(&path, Classic::MICRO.write(&packets).concat()).expect("written");
    let path = path.to_string_lossy();
    let (run, lines) = lines_of(&["-r", &path, "--link-speed", "eth.pcpa=1G", "--link-speed", "eth.pcap=1G"]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    let told: Vec<_> =
        of_type(&lines, "notice").map(|notice| (&notice["event"], &notice["message"])).collect();
    let sentence = "--link-speed eth.pcpa: nothing of that name was read, only eth.pcap";
    assert_eq!(told, [(&"speed_of_none".into(), &sentence.into())]);
    let speed = &of_type(&lines, "start").next().expect("a line")["interfaces"][0]["speed_bits_per_second"];
    assert_eq!(number(speed), 1_000_000_000, "what was told of it is what it begins with");
}

#[test]
fn a_walk_ends_when_told_though_its_filter_selects_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("long.pcap");
    let packets: Vec<Packet> = (0..20_000).map(|n| datagram(1, n * 1000)).collect();
    std::fs::write(&path, Classic::MICRO.write(&packets).concat()).expect("written");
    let stop = Arc::new(AtomicBool::new(true));
    let mut set = FileSet::open(&[vec![path]], Some("tcp"), &stop);
    set.compile().expect("a filter");
    set.walk(|_| true);
    assert_eq!(set.refused, 4096);
}

#[test]
fn a_run_begins_with_its_earliest_packet_with_any_number_of_workers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("back.pcap");
    let times = (0..100).map(|_| 1_600_000_000).chain([1_100_000_000, 1_900_000_000]);
    let packets: Vec<Packet> = times.enumerate().map(|(n, time_ns)| datagram(n as u8, time_ns)).collect();
    std::fs::write(&path, Classic::MICRO.write(&packets).concat()).expect("written");
    for workers in ["1", "2", "4"] {
        let (_, lines) = lines_of(&["-r", &path.to_string_lossy(), "--workers", workers]);
        assert_eq!(stop(&lines)["seconds"], 0.8, "{workers} workers");
    }
}

#[test]
fn each_file_s_direction_is_told_by_its_own_frames() {
    let directory = tempfile::tempdir().expect("a directory");
    let (plain, cooked) = (directory.path().join("a.pcap"), directory.path().join("b.pcap"));
    // Two hosts in all frames: whose capture it is cannot be told.
    std::fs::write(&plain, Classic::MICRO.write(&[datagram(1, 9_000_000_000)]).concat()).expect("written");
    let ends = Ends::v4(([198, 18, 0, 2], 1000), ([198, 18, 1, 1], 53));
    let head = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
    let data = [&head[..], &ip(ends, frames::UDP, &udp(ends, 10))].concat();
    let packet = Packet { time_ns: 5_000_000_000, len: data.len() as u32, data };
    let sll = Classic { link_type: 113, ..Classic::MICRO };
    std::fs::write(&cooked, sll.write(&[packet]).concat()).expect("written");
    let [plain, cooked] = [plain, cooked].map(|path| path.to_string_lossy().into_owned());
    for order in [[&plain, &cooked], [&cooked, &plain]] {
        let (_, lines) = lines_of(&["-r", order[0], "-r", order[1]]);
        for interface in stop(&lines)["interfaces"].as_array().expect("a list") {
            let unknown = interface.get("direction").is_some_and(|direction| direction == "unknown");
            assert_eq!(unknown, interface["interface"] == "a.pcap", "{interface}");
        }
        assert_eq!(stop(&lines)["interfaces"].as_array().map(Vec::len), Some(2));
    }
}

/// Names of the interfaces in the line that ends the run, and in the one that begins it.
fn names(paths: &[&std::path::Path]) -> [Vec<String>; 2] {
    let arguments: Vec<_> = paths.iter().flat_map(|path| ["-r".into(), path.to_string_lossy()]).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| argument.as_ref()).collect();
    let (_, lines) = lines_of(&arguments);
    [stop(&lines), of_type(&lines, "start").next().expect("a line")].map(|line| {
        let interfaces = line["interfaces"].as_array().expect("a list").iter();
        interfaces.map(|one| one["interface"].as_str().expect("a name").to_owned()).collect()
    })
}

#[test]
fn no_two_interfaces_have_one_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    for (number, file) in ["a/x.pcap", "b/x.pcap", "b/y.pcap"].into_iter().enumerate() {
        std::fs::create_dir_all(at(file).parent().expect("a folder")).expect("made");
        let packet = datagram(number as u8, 1_000_000_000 * (9 - number as u64));
        std::fs::write(at(file), Classic::MICRO.write(&[packet]).concat()).expect("written");
    }
    let [a, b, y] = ["a/x.pcap", "b/x.pcap", "b/y.pcap"].map(at);
    let [end, begin] = names(&[&a, &b, &y]);
    assert_eq!(end, ["a/x.pcap", "b/x.pcap", "y.pcap"]);
    assert_eq!(begin, end);
    let [end, begin] = names(&[&y, &y]);
    assert_eq!(end, ["y.pcap", "y.pcap#2"]);
    assert_eq!(begin, end);
    // Two captures of one name's interface, each with two.
    const IF_NAME: u16 = 2;
    for (file, order) in [("a.pcapng", [1, 0]), ("b.pcapng", [0, 1])] {
        let mut writer = Pcapng::new(false);
        writer.section();
        writer.interface(1, 0, Resolution::Default, &[(IF_NAME, b"eth0")]);
        writer.interface(1, 0, Resolution::Default, &[]);
        for interface in order {
            writer.enhanced(interface, Resolution::Default, &datagram(1, 1_000_000_000), None);
        }
        std::fs::write(at(file), writer.blocks.concat()).expect("written");
    }
    let [mut end, mut begin] = names(&[&at("a.pcapng"), &at("b.pcapng")]);
    end.sort();
    begin.sort();
    assert_eq!(end, ["a.pcapng#1", "b.pcapng#1", "b.pcapng:eth0", "eth0"]);
    assert_eq!(begin, end);
}

#[test]
fn a_file_that_stands_where_a_filter_does_is_told_what_it_may_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("one.pcap");
    std::fs::write(&path, Classic::MICRO.write(&[datagram(1, 1000)]).concat()).expect("written");
    let path = path.to_string_lossy();
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_fullcount"))
        .args(["-r", &path, &path])
        .output()
        .expect("the program");
    assert_eq!(said.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&said.stderr);
    if stderr.contains("libpcap") && !stderr.contains("did you mean") {
        eprintln!("SKIPPED: libpcap is not installed");
        return;
    }
    assert!(stderr.ends_with(&format!("(did you mean -r {path}?)\n")), "{stderr}");
}
