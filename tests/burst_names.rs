//! Who filled a burst, where it is hard to know: a journal too short, slots that
//! change hands while it lasts, a clock that is set back.
//!
//! Workers and the aggregator's milliseconds without threads: what one says is
//! handed to the other here, in an order that the test chooses. Truth is the list
//! of packets that went in. Nobody may ever be given what was another's.

#[allow(dead_code)]
mod table_run;

use arc_swap::ArcSwap;
use fullcount::aggregate::balance::{LinkSet, Placing};
use fullcount::aggregate::burst::{Limits, Threshold};
use fullcount::aggregate::culprit::Burst;
use fullcount::aggregate::millis::{Millis, Wanted};
use fullcount::decode::{Packet, protocol};
use fullcount::flow::key::FlowKey;
use fullcount::meter::bins::Speeds;
use fullcount::worker::Worker;
use fullcount::worker::look::{Ask, FlowShare, Seen, Window};
use fullcount::worker::outbox::{Inbox, Message, outbox};
use std::collections::HashMap;
use std::sync::Arc;
use table_run::{MS, S, config, end, packet};

/// A whole second.
const AT: u64 = 1_700_000_000 * S;
const SIZE: u32 = 1514;

struct Rig {
    workers: Vec<Worker>,
    inboxes: Vec<Inbox>,
    millis: Millis,
}

impl Rig {
    fn new(workers: usize, flows_max: usize, notes: Option<usize>) -> Rig {
        let (outboxes, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| outbox(128, false, false)).unzip();
        let worker = |outbox: fullcount::worker::outbox::Outbox| {
            let mut worker = Worker::new(config(flows_max), outbox.answers(true));
            notes.into_iter().for_each(|notes| worker.keep_notes(notes));
            worker
        };
        let limits = Limits { threshold: Threshold::Rate(80_000_000), ..Limits::default() };
        let speeds = Arc::<Speeds>::default();
        let set = LinkSet {
            name: None,
            links: vec![0, 1, 2],
            usable: Vec::new(),
            placing: Placing::Unknown,
            in_order: true,
            version: None,
            met_only: false,
            since_ns: 0,
        };
        let (sets, classes) = (Arc::new(ArcSwap::from_pointee(vec![set])), Default::default());
        let wanted = Wanted { limits, speeds, sets, classes, culprits: 1 << 20, workers_wait: false };
        let asks = inboxes.iter().map(|inbox: &Inbox| inbox.asks.clone()).collect();
        let mut millis = Millis::new(wanted, asks);
        millis.begin_at(AT / MS);
        Rig { workers: outboxes.into_iter().map(worker).collect(), inboxes, millis }
    }

    /// Hands on what one says to the other until nobody says anything.
    fn talk(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            for (number, worker) in self.workers.iter_mut().enumerate() {
                if worker.answer(false) | worker.between_batches(AT) {
                    quiet = 0;
                }
                for message in self.inboxes[number].messages.try_iter() {
                    quiet = 0;
                    match message {
                        Message::Bins(bins) => self.millis.take(number, *bins),
                        Message::Answer(answer) => self.millis.answer(number, &answer),
                        Message::Records(mut buffer) => {
                            buffer.clear();
                            let _ = self.inboxes[number].empties.try_send(buffer);
                        }
                        Message::Cut(_) => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, packets: &[Packet]) {
        for chunk in packets.chunks(1000) {
            self.workers[0].take(&mut chunk.to_vec());
            self.talk();
        }
    }

    fn tick(&mut self, time_ns: u64) {
        self.workers.iter_mut().for_each(|worker| worker.tick(time_ns));
        self.talk();
    }
}

/// A frame of a connection, of 1,514 bytes.
fn frame(flow: u32, at: u64) -> Packet {
    let (client, server) = (end(2 * flow, 40_000), end(1, 5000));
    Packet { line_bytes: SIZE + 24, segments: 1, ..packet(protocol::UDP, client, server, at, SIZE) }
}

/// Bytes by connection.
fn truth(packets: &[Packet]) -> HashMap<FlowKey, u64> {
    let mut sums = HashMap::new();
    packets.iter().for_each(|packet| *sums.entry(packet.key).or_default() += u64::from(packet.bytes));
    sums
}

fn named(burst: &Burst) -> HashMap<FlowKey, u64> {
    burst.culprits.iter().map(|culprit| (culprit.who.key, culprit.count().bytes)).collect()
}

/// Nobody has more than was its own, and all that the journal had is somewhere.
fn nobody_is_blamed(burst: &Burst, packets: &[Packet]) -> u64 {
    let (truth, named) = (truth(packets), named(burst));
    for (key, bytes) in &named {
        let own = truth.get(key).copied().unwrap_or(0);
        assert!(*bytes <= own, "{key:?} is given {bytes} bytes of {own}");
    }
    assert_eq!(burst.sums.bytes, packets.len() as u64 * u64::from(SIZE));
    let known: u64 = named.values().sum();
    assert_eq!(known + burst.untracked.bytes + burst.unnamed.bytes, burst.journal_bytes);
    known
}

/// Packets of one burst of 20 ms from `from` on, `flow` says whose each is.
fn burst_of(from: u64, packets: u64, flow: impl Fn(u64) -> u32) -> Vec<Packet> {
    (0..packets).map(|number| frame(flow(number), from + number * 20 * MS / packets)).collect()
}

fn one(rig: &mut Rig) -> Burst {
    let bursts = rig.millis.take_bursts();
    assert_eq!(bursts.len(), 1, "{bursts:?}");
    bursts.into_iter().next().expect("one")
}

#[test]
fn a_journal_that_is_too_short_says_so_and_blames_nobody() {
    for (notes, reaches) in [(64, false), (4096, false), (1 << 14, true)] {
        let mut rig = Rig::new(1, 1 << 10, Some(notes));
        let packets = burst_of(AT + 500 * MS, 10_000, |number| 10 + (number % 7) as u32);
        rig.take(&packets);
        rig.tick(AT + S);
        let burst = one(&mut rig);
        let known = nobody_is_blamed(&burst, &packets);
        let had = notes.min(packets.len()) as u64 * u64::from(SIZE);
        assert_eq!((known, burst.journal_bytes), (had, had), "{notes} notes");
        assert_eq!(burst.before_ms, if reaches { 500 } else { 0 }, "what it is compared with");
        if reaches {
            assert_eq!(named(&burst), truth(&packets));
        }
    }
}

/// A slave that has no packet at all is what the burst should have been shared with.
#[test]
fn a_silent_slave_is_told_of() {
    let mut rig = Rig::new(1, 1 << 10, None);
    let packets = burst_of(AT + 500 * MS, 400, |_| 1);
    rig.take(&packets);
    rig.tick(AT + S);
    assert_eq!(one(&mut rig).others, [(1, 0), (2, 0)]);
}

/// The journal reaches back to the burst, not to the second before it.
#[test]
fn without_the_time_before_all_is_excess() {
    let mut rig = Rig::new(1, 1 << 10, Some(1 << 12));
    let before: Vec<Packet> = (0..9000).map(|number| frame(1, AT + number * 50_000)).collect();
    let packets = burst_of(AT + 500 * MS, 2000, |number| 1 + (number % 2) as u32);
    rig.take(&before);
    rig.take(&packets);
    rig.tick(AT + S);
    let burst = rig.millis.take_bursts().pop().expect("one");
    assert_eq!((burst.before_ms, burst.journal_bytes), (0, burst.sums.bytes));
    assert!(burst.culprits.iter().all(|culprit| culprit.excess_bytes == culprit.count().bytes));
}

/// A small table: every new connection takes the slot of another while the burst lasts.
#[test]
fn slots_that_change_hands_keep_their_names() {
    for (flows, count) in [(100, 3000), (3000, 3000), (500, 20_000)] {
        let mut rig = Rig::new(1, 64, None);
        // One that is there all the time, among many that push each other out.
        let whose = |number: u64| if number.is_multiple_of(5) { 1 } else { 10 + (number % flows) as u32 };
        let packets = burst_of(AT + 500 * MS, count, whose);
        rig.take(&packets);
        rig.tick(AT + S);
        let burst = one(&mut rig);
        nobody_is_blamed(&burst, &packets);
        assert_eq!(burst.unnamed.bytes, 0);
        let mut expected = truth(&packets);
        if burst.untracked.bytes == 0 {
            assert_eq!(named(&burst), expected, "{flows} flows");
        }
        expected.retain(|key, _| named(&burst).contains_key(key));
        assert!(!expected.is_empty());
    }
}

/// More names than are kept: the rest is told to be nobody's, in whatever millisecond.
#[test]
fn names_that_were_given_up_are_given_to_nobody_else() {
    for (per_flow, in_one_ms) in [(1, false), (3, false), (1, true)] {
        let mut rig = Rig::new(1, 64, None);
        let mut packets =
            burst_of(AT + 500 * MS, 120_000 * per_flow, |number| 10 + (number / per_flow) as u32);
        if in_one_ms {
            packets.iter_mut().for_each(|packet| packet.time_ns = AT + 500 * MS);
        }
        rig.take(&packets);
        rig.tick(AT + S);
        let burst = one(&mut rig);
        let known = nobody_is_blamed(&burst, &packets);
        assert!(burst.unnamed.bytes > 0 && known > 0, "{per_flow}: {:?}", burst.unnamed);
        assert_eq!(burst.journal_bytes, burst.sums.bytes);
    }
}

/// The same milliseconds come again: each time they are other ones.
#[test]
fn a_clock_that_is_set_back_gives_nobody_the_bytes_of_before() {
    for back in [600 * MS, 2 * S, 70 * S] {
        for late in [false, true] {
            let mut rig = Rig::new(2, 1 << 10, None);
            let first = burst_of(AT + 80 * S, 400, |_| 1);
            rig.tick(AT + 80 * S);
            rig.take(&first);
            // The same time again, once the clock is back, and somebody else.
            let to = AT + 80 * S + 200 * MS - back;
            rig.tick(AT + 80 * S + 200 * MS);
            assert_eq!(named(&one(&mut rig)), truth(&first));
            rig.workers[0].restart_bins(to);
            if late {
                rig.talk();
            }
            rig.workers[1].restart_bins(to);
            rig.talk();
            let mut now = to / S * S + S;
            while now < AT + 80 * S {
                rig.tick(now);
                now += S;
            }
            let second = burst_of((AT + 80 * S).max(to), 400, |_| 2);
            rig.tick(AT + 80 * S);
            rig.take(&second);
            rig.tick(AT + 81 * S);
            let burst = one(&mut rig);
            assert_eq!(named(&burst), truth(&second), "{back} ns, {late}");
            assert_eq!(burst.journal_bytes, burst.sums.bytes);
        }
    }
}

/// While the aggregator stands still the clock is set back: what waits for it is of
/// two times, and each keeps its own.
#[test]
fn milliseconds_that_wait_are_not_mixed_where_the_clock_is_set_back() {
    let (outbox, inbox) = outbox(1, false, false);
    let mut worker = Worker::new(config(1 << 10), outbox.answers(true));
    worker.take(&mut [frame(1, AT + 500 * MS)]);
    // More than there is room for; then twice back, and on.
    let mut now = AT;
    let on = |worker: &mut Worker, seconds: u64, from: u64| {
        for second in 1..=seconds {
            worker.take(&mut [frame(2, from + second * S - 500 * MS)]);
            worker.tick(from + second * S);
        }
        from + seconds * S
    };
    now = on(&mut worker, 40, now);
    let times = [AT, now - 30 * S, now - 70 * S];
    for &back in &times[1..] {
        worker.take(&mut [frame(3, now + 10 * MS)]);
        worker.restart_bins(back);
        on(&mut worker, 5, back);
        now = back + 5 * S;
    }
    let told: Vec<Message> = inbox.messages.try_iter().collect();
    worker.tick(now + S);
    let mut time = 0;
    let mut packets = 0;
    let mut until = AT / MS;
    for message in told.into_iter().chain(inbox.messages.try_iter()) {
        let Message::Bins(cut) = message else { continue };
        let ends = if cut.set_back { u64::MAX } else { cut.until_ms };
        for lane in &cut.lanes {
            packets += lane.bins.iter().map(|bin| bin.packets).sum::<u32>();
            assert!(lane.first_ms >= times[time] / MS, "{} is of a later time", lane.first_ms);
            assert!(lane.first_ms < ends, "{} is of an earlier time", lane.first_ms);
        }
        assert!(cut.set_back || cut.until_ms >= until, "within a time it goes on");
        until = cut.until_ms;
        time += usize::from(cut.set_back);
    }
    assert_eq!((time, packets), (2, 1 + 40 + 2 * (1 + 5)), "each is told once");
}

/// The end comes while a question is half answered: it is answered, and the worker goes.
#[test]
fn a_question_under_way_at_the_end_is_answered() {
    let (outbox, inbox) = outbox(128, false, false);
    let mut worker = Worker::new(config(1 << 10), outbox.answers(true));
    let packets = burst_of(AT, 50_000, |number| 1 + (number % 3) as u32);
    worker.take(&mut packets.clone());
    worker.tick(AT + S);
    let window = Window {
        lane: packets[0].lane,
        before_ms: AT / MS,
        from_ms: AT / MS,
        until_ms: AT / MS + 20,
        era: 0,
        goes_on: false,
    };
    inbox.asks.send(Ask::Look { number: 7, windows: Arc::new([window]) }).expect("it runs");
    assert!(worker.answer(false), "more than a slice");
    let ending = std::thread::spawn(move || worker.finish(AT + S, 0, false));
    let patience = std::time::Duration::from_secs(30);
    loop {
        match inbox.messages.recv_timeout(patience).expect("the answer, though nothing more is asked") {
            Message::Answer(answer) => {
                let bytes = |share: &FlowShare| share.sent.iter().map(|count| count.bytes).sum::<u64>();
                assert_eq!(answer.seen[0].flows.iter().map(bytes).sum::<u64>(), 50_000 * u64::from(SIZE));
                break;
            }
            Message::Records(buffer) => drop(inbox.empties.try_send(buffer)),
            Message::Bins(_) | Message::Cut(_) => {}
        }
    }
    inbox.asks.send(Ask::GoOn).expect("it waits");
    drop(inbox);
    ending.join().expect("it goes");
}

/// What was under way when the clock was set back ends there, with its names.
#[test]
fn a_burst_is_cut_where_the_clock_is_set_back() {
    let mut rig = Rig::new(1, 1 << 10, None);
    rig.tick(AT + 80 * S);
    let first = burst_of(AT + 80 * S + 100 * MS, 400, |_| 1);
    rig.take(&first);
    rig.workers[0].restart_bins(AT + 80 * S - 900 * MS);
    let second = burst_of(AT + 80 * S - 890 * MS, 400, |_| 2);
    rig.take(&second);
    rig.tick(AT + 80 * S);
    let mut bursts = rig.millis.take_bursts();
    bursts.sort_by_key(|burst| std::cmp::Reverse(burst.from_ms));
    assert_eq!(bursts.iter().map(named).collect::<Vec<_>>(), [truth(&first), truth(&second)]);
    for burst in &bursts {
        assert!(!burst.open && burst.journal_bytes == burst.sums.bytes);
    }
}

/// What a window should be told, from the packets themselves: by connection what
/// each end sent, and its bytes before; who was only there before it where more is to come.
fn told_of(window: &Window, packets: &[Packet]) -> HashMap<FlowKey, ([u64; 2], u64)> {
    let mut sums: HashMap<FlowKey, ([u64; 2], u64)> = HashMap::new();
    for packet in packets.iter().filter(|packet| packet.lane == window.lane) {
        let (ms, bytes) = (packet.time_ns / MS, u64::from(packet.bytes));
        if (window.from_ms..window.until_ms).contains(&ms) {
            sums.entry(packet.key).or_default().0[usize::from(packet.reversed)] += bytes;
        } else if (window.before_ms..window.from_ms).contains(&ms) {
            sums.entry(packet.key).or_default().1 += bytes;
        }
    }
    sums.retain(|_, (sent, _)| window.goes_on || *sent != [0; 2]);
    sums
}

/// Hundreds of windows share their walks over the journal, and questions do, while
/// packets go on and slots change hands: each has what it would have alone.
#[test]
fn windows_that_share_a_walk_are_told_what_each_would_be_alone() {
    let mut random = 1u64;
    let mut below = move |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    for (case, windows) in [1, 2, 7, 40, 300].into_iter().enumerate() {
        let (outbox, inbox) = outbox(4096, false, false);
        // Case by case more or fewer connections than there are slots.
        let flows = 30 + 60 * (case as u64 % 3);
        let mut worker = Worker::new(config(64), outbox.answers(true));
        let mut packets: Vec<Packet> = (0..30_000u64)
            .map(|number| {
                let (client, server) = (end(2 * below(flows) as u32 + 2, 40_000), end(1, 5000));
                let (from, to) = if below(3) == 0 { (server, client) } else { (client, server) };
                let size = 60 + below(1455) as u32;
                let mut packet = packet(protocol::UDP, from, to, AT + number * 100_000, size);
                (packet.lane, packet.segments) = (table_run::lane(below(4) as u8), 1);
                packet
            })
            .collect();
        // The first one behind the questions takes the slot of one that they are about.
        packets[25_000].key = frame(1000, AT).key;
        let (known, later) = packets.split_at(25_000);
        for part in known.chunks(1000) {
            worker.tick(part[0].time_ns);
            worker.take(&mut part.to_vec());
            worker.between_batches(part[0].time_ns);
        }
        let mut questions: Vec<Vec<Window>> = vec![Vec::new(); 1 + case % 3];
        for number in 0..windows {
            // Some of the last milliseconds before the questions.
            let from_ms = AT / MS + if number % 3 == 0 { 2440 } else { below(2440) };
            let window = Window {
                lane: table_run::lane(below(4) as u8),
                before_ms: from_ms
                    - below(2).min(from_ms - AT / MS) * (from_ms - AT / MS).min(1 + below(1000)),
                from_ms,
                until_ms: from_ms + 1 + below(59),
                era: 0,
                goes_on: below(10) == 0,
            };
            let questions_count = questions.len();
            questions[number % questions_count].push(window);
        }
        for (number, windows) in (0u64..).zip(&questions) {
            inbox.asks.send(Ask::Look { number, windows: windows.clone().into() }).expect("it runs");
        }
        let mut answers = Vec::new();
        let mut later = later.chunks(5);
        for _ in 0..1_000_000 {
            worker.answer(true);
            answers.extend(inbox.messages.try_iter().filter_map(|message| match message {
                Message::Answer(answer) => Some(answer),
                _ => None,
            }));
            if answers.len() == questions.len() {
                break;
            }
            // New connections take the slots of others meanwhile.
            if let Some(part) = later.next() {
                worker.take(&mut part.to_vec());
            }
        }
        assert_eq!(answers.len(), questions.len(), "all are answered");
        for answer in &answers {
            told_right(&questions[answer.number as usize], &answer.seen, known);
        }
    }
}

fn told_right(windows: &[Window], seen: &[Seen], packets: &[Packet]) {
    assert_eq!(seen.len(), windows.len());
    for (window, seen) in windows.iter().zip(seen) {
        let mut told: HashMap<FlowKey, ([u64; 2], u64)> = HashMap::new();
        for share in &seen.flows {
            let sum = told.entry(share.flow.key).or_default();
            sum.1 += share.before;
            sum.0.iter_mut().zip(share.sent).for_each(|(sum, count)| *sum += count.bytes);
        }
        let expected = told_of(window, packets);
        assert!(told == expected, "{window:?}: {} connections of {}", told.len(), expected.len());
        assert_eq!((seen.untracked.bytes, seen.unnamed.bytes), (0, 0));
        assert!(seen.whole && seen.before_whole);
    }
}

/// So many connections in so many windows that their sums would be too many for one
/// walk: it is walked for fewer at a time, and nobody is left out.
#[test]
fn windows_of_too_many_connections_for_one_walk_are_told_all_the_same() {
    let (outbox, inbox) = outbox(1 << 14, false, false);
    let mut worker = Worker::new(config(1 << 16), outbox.answers(true));
    let (flows, packets_each) = (60_000u32, 20);
    let each = 2 * S / u64::from(flows * packets_each);
    let packets: Vec<Packet> = (0..flows * packets_each)
        .map(|number| frame(1 + number % flows, AT + u64::from(number) * each))
        .collect();
    for part in packets.chunks(10_000) {
        worker.tick(part[0].time_ns);
        worker.take(&mut part.to_vec());
    }
    let lane = packets[0].lane;
    let window = |number: u64| {
        let from_ms = AT / MS + number * 100;
        Window { lane, before_ms: AT / MS, from_ms, until_ms: from_ms + 99, era: 0, goes_on: false }
    };
    let windows: Vec<Window> = (0..20).map(window).collect();
    inbox.asks.send(Ask::Look { number: 1, windows: windows.clone().into() }).expect("it runs");
    while worker.answer(false) {}
    let mut answers = inbox.messages.try_iter().filter_map(|message| match message {
        Message::Answer(answer) => Some(answer),
        _ => None,
    });
    let seen = answers.next().expect("an answer").seen;
    assert_eq!(seen.len(), windows.len());
    [0, 9, 10, 19].iter().for_each(|&at| told_right(&windows[at..=at], &seen[at..=at], &packets));
}
