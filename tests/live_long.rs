//! Runs whose interval is a day: what does not wait for its end.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::{Fullcount, count_of, pair, total};

#[test]
fn a_count_and_a_notice_do_not_wait_for_the_interval() {
    let Some((near, far)) = pair("a_count_and_a_notice_do_not_wait_for_the_interval") else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    for workers in [1, 2] {
        let arguments = format!("-i v0,v1 --interval 86400 --count 300 --workers {workers}");
        let running = Fullcount::start(&near, &arguments);
        near.shell("ip link set v1 down");
        running.wait_notice("interface_down", "v1", 0);
        let mut injector = near.injector("v0");
        for n in 0..300 {
            let ends = Ends::v4(([198, 18, 0, 1], 4000 + n % 50), ([198, 19, 0, 1], 53));
            injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 10))));
        }
        let lines = running.end().lines();
        assert_eq!(lines.last().expect("a line")["reason"], "count", "{workers} workers");
        assert_eq!(count_of(&total(&lines, "v0")["tx"]).packets, 300);
        near.shell("ip link set v1 up");
    }
}
