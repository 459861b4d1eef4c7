//! Interfaces that are removed just after frames came in: what the kernel has
//! of them is still taken out of their rings.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::{Count, Fullcount, count_of, notices, number, pair, total};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

#[test]
fn the_last_frames_of_a_removed_interface_are_counted() {
    let Some((near, far)) = pair("the_last_frames_of_a_removed_interface_are_counted") else { return };
    near.veth("v1", &far, "w1");
    for workers in [1, 2] {
        near.veth("v0", &far, "w0");
        let arguments = format!("-i v0,v1 --interval 0.2 --workers {workers}");
        let running = Fullcount::start(&near, &arguments);
        let mut sent = Count::default();
        for turn in 0..8 {
            let mut injector = near.injector("v0");
            for n in 0..200 {
                let ends = Ends::v4(([198, 18, 0, 1], 4000 + n % 50), ([198, 19, 0, 1], 53));
                let frame = ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, usize::from(n))));
                injector.send(&frame);
                sent.add(frame.len());
            }
            near.shell("ip link del v0");
            running.wait_notice("interface_gone", "v0", turn);
            near.veth("v0", &far, "w0");
            running.wait_notice("interface_back", "v0", turn);
        }
        let lines = running.stop().lines();
        assert_eq!(count_of(&total(&lines, "v0")["tx"]), sent, "{workers} workers");
        assert_eq!(number(&total(&lines, "v0")["capture"]["frames"]), sent.packets);
        assert_eq!(notices(&lines, "frames_missing").count(), 0);
        // Devices that never have a speed: one sentence for both, once.
        let unknown: Vec<&str> =
            notices(&lines, "speed_unknown").filter_map(|line| line["message"].as_str()).collect();
        assert!(unknown.len() == 1 && unknown[0].starts_with("The speed of v0, v1 is not"), "{unknown:?}");
        near.shell("ip link del v0");
    }
}

#[test]
fn an_interface_that_cannot_be_opened_at_once_is_tried_again() {
    let Some((near, far)) = pair("an_interface_that_cannot_be_opened_at_once_is_tried_again") else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    let running = Fullcount::start(&near, "-i v0,v1 --interval 0.2");
    let pid = Pid::from_raw(running.pid() as i32);
    let usual = getrlimit(Resource::Nofile);
    let files = |current| {
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum: usual.maximum })
            .expect("its limit is ours to set");
    };
    // It may open nothing meanwhile.
    files(Some(0));
    near.shell("ip link del v0");
    running.wait_notice("interface_gone", "v0", 0);
    near.veth("v0", &far, "w0");
    running.wait_notice("interface_refused", "v0", 0);
    files(usual.current);
    near.shell("ip link set v0 down");
    near.shell("ip link set v0 up");
    running.wait_notice("interface_back", "v0", 0);
    let ends = Ends::v4(([198, 18, 0, 1], 4000), ([198, 19, 0, 1], 53));
    near.injector("v0").send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 10))));
    let lines = running.stop().lines();
    assert_eq!(count_of(&total(&lines, "v0")["tx"]).packets, 1);
}
