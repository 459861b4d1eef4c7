//! Configuration files of the whole program: where they are looked for, what goes
//! before what, how faults are told, and how the screen begins.

#[path = "common/schema.rs"]
mod schema;
#[path = "common/terminal.rs"]
mod terminal;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use terminal::OnTerminal;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/http_v4.pcap");

/// The program with `home` as its user's, and nothing else of this one's.
fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
    command.args(arguments).env("HOME", home).env_remove("XDG_CONFIG_HOME");
    command
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

#[test]
fn the_users_file_is_found_and_the_command_line_goes_before_it() {
    if Path::new("/etc/fullcount/config.toml").exists() {
        return eprintln!("SKIPPED: this machine has a configuration of its own");
    }
    let home = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str], xdg: Option<&Path>| {
        let mut command = program(home.path(), arguments);
        if let Some(path) = xdg {
            command.env("XDG_CONFIG_HOME", path);
        }
        told(&command.output().expect("it runs"))
    };
    let (code, plain, _) = run(&["-r", CAPTURE], None);
    assert!(code == Some(0) && plain.contains("→bit/s"), "{plain}");
    write(&home.path().join(".config/fullcount/config.toml"), "bytes = true\nby = \"host\"\n");
    let (_, text, errors) = run(&["-r", CAPTURE], None);
    assert!(
        text.contains("byte/s") && text.lines().next().is_some_and(|line| line.contains("Host")),
        "{text}{errors}"
    );
    let (_, text, _) = run(&["-r", CAPTURE, "--by", "port"], None);
    assert!(
        text.contains("byte/s") && text.lines().next().is_some_and(|line| line.contains("Port")),
        "{text}"
    );
    // Another place, and none.
    let elsewhere = home.path().join("elsewhere");
    write(&elsewhere.join("fullcount/config.toml"), "top = 0\n");
    let (_, text, _) = run(&["-r", CAPTURE], Some(&elsewhere));
    assert!(text.contains("bit/s") && !text.contains("43258"), "{text}");
    assert_eq!(run(&["-r", CAPTURE, "-c", "/dev/null"], None).1, plain);
    // A fault costs nothing but a sentence.
    let bad = home.path().join("bad.toml");
    write(&bad, "top = 1\nintervall = 1\n");
    let (code, text, errors) = run(&["-r", CAPTURE, "--config", &bad.to_string_lossy()], None);
    let sentence = format!(
        "fullcount: {}, line 2: there is no option intervall: did you mean interval?\n",
        bad.display()
    );
    assert_eq!((code, text.as_str(), errors), (Some(2), "", sentence));
    let (code, _, errors) = run(&["-r", CAPTURE, "-c", "/nonexistent"], None);
    assert!(
        code == Some(2) && errors.starts_with("fullcount: configuration: cannot read /nonexistent: "),
        "{errors}"
    );
}

#[test]
fn iftops_settings_are_found_and_told_of() {
    if Path::new("/etc/fullcount/config.toml").exists() {
        return eprintln!("SKIPPED: this machine has a configuration of its own");
    }
    let home = tempfile::tempdir().expect("a directory");
    write(&home.path().join(".iftoprc"), "use-bytes: yes\nlink-local: no\n");
    let (code, text, errors) = told(&program(home.path(), &["-r", CAPTURE]).output().expect("it runs"));
    let note = format!(
        "Note: {}/.iftoprc, iftop's settings, is in force: use-bytes is -B; without effect: link-local",
        home.path().display()
    );
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(text.starts_with(&note) && text.contains("byte/s"), "{text}");
    let (_, text, _) = told(&program(home.path(), &["-r", CAPTURE, "-o", "json"]).output().expect("it runs"));
    let lines = schema::validate_lines(&text);
    assert_eq!((&lines[1]["type"], &lines[1]["event"]), (&"notice".into(), &"settings".into()), "{text}");
    write(&home.path().join(".config/fullcount/config.toml"), "");
    let (_, text, _) = told(&program(home.path(), &["-r", CAPTURE]).output().expect("it runs"));
    assert!(!text.contains("iftop's settings") && text.contains("bit/s"), "{text}");
}

#[test]
fn the_screen_begins_as_the_file_says() {
    let home = tempfile::tempdir().expect("a directory");
    let own = home.path().join("screen.toml");
    write(&own, "[screen]\nview = \"hosts\"\nsums = true\nsource-ports = true\norder = \"name\"\n");
    let mut screen = OnTerminal::start(
        program(home.path(), &["-r", CAPTURE, "-o", "tui", "-c", &own.to_string_lossy()]),
        120,
        30,
    );
    let text = screen.wait("hosts with sums and ports", |text| {
        text.contains(" Hosts by name") && text.contains("198.18.0.1:43258") && text.contains("=>")
    });
    assert!(!text.contains("198.18.0.2:80") && text.contains("Bytes bit/s"), "{text}");
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
    // A key that does nothing there is refused before the screen opens.
    let output = program(home.path(), &["-r", CAPTURE, "-o", "tui", "--keys", "F5T"]);
    let screen = OnTerminal::start(output, 120, 30);
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("--keys: T does nothing among Links"), "{text}");
}

/// What is typed and what files say are states: they do not take each other back.
#[test]
fn a_switch_that_is_typed_and_in_a_file_is_on_once() {
    let home = tempfile::tempdir().expect("a directory");
    let (own, iftops) = (home.path().join("own.toml"), home.path().join("my.iftoprc"));
    write(&iftops, "port-display: on\nport-display: on\nshow-bars: no\n");
    let iftops = iftops.to_string_lossy().into_owned();
    // Bars, bytes, ports of the first side and of the second.
    for (file, typed, shown) in [
        ("", &[][..], [true, false, false, false]),
        ("bars = false", &["-b"], [false, false, false, false]),
        ("bars = true", &["-b"], [false, false, false, false]),
        ("bars = true", &[], [true, false, false, false]),
        ("bytes = true", &["-B"], [true, true, false, false]),
        ("source-ports = true", &["-P"], [true, false, true, true]),
        ("destination-ports = false", &["-P"], [true, false, true, true]),
        ("source-ports = true", &["--iftoprc", &iftops], [false, false, true, true]),
        ("", &["-b", "-P", "--iftoprc", &iftops], [false, false, true, true]),
        // A key is a key.
        ("bars = false", &["--keys", "b"], [true, false, false, false]),
        ("source-ports = true", &["--keys", "SDB"], [true, true, false, true]),
    ] {
        for before in ["", "no-bars = true\n"] {
            write(&own, &format!("{before}[screen]\nview = \"hosts\"\n{file}\n"));
            let own = own.to_string_lossy();
            let mut arguments = vec!["-r", CAPTURE, "-o", "tui", "-c", &own];
            arguments.extend(typed);
            let mut screen = OnTerminal::start(program(home.path(), &arguments), 120, 30);
            let text = screen.wait("hosts", |text| text.contains(" Hosts by rate") && text.contains("=>"));
            screen.keys("q");
            screen.end();
            let seen = ["█", "byte/s", "198.18.0.1:43258", "198.18.0.2:"].map(|what| text.contains(what));
            let [bars, others @ ..] = shown;
            // The table is the file's last word on what it begins with; a key toggles what that made.
            let bars = match before {
                "" => bars,
                _ if file.starts_with("bars") => bars,
                _ => false,
            };
            let [bytes, first, second] = others;
            assert_eq!(seen, [bars, bytes, first, second], "{before}{file} {typed:?}\n{text}");
        }
    }
}

#[test]
fn a_conflict_names_the_lines_that_it_is_between() {
    let home = tempfile::tempdir().expect("a directory");
    let own = home.path().join("own.toml");
    write(
        &own,
        "top = 5\nports = true\ninterval = 2\nbytes = true\nby = \"pair\"\n\n[screen]\nsums = true\n",
    );
    let (code, _, errors) = told(
        &program(home.path(), &["-r", CAPTURE, "-c", &own.to_string_lossy()]).output().expect("it runs"),
    );
    let own = own.display();
    let beginning = format!("fullcount: together with {own}, line 2; {own}, line 5: -P and --by pair cannot");
    assert!(code == Some(2) && errors.starts_with(&beginning), "{errors}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let home = tempfile::tempdir().expect("a directory");
    let path = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    let [own, iftops, classes, names] = ["own.toml", "my.iftoprc", "classes", "names"].map(path);
    write(Path::new(&own), "\u{feff}bytes = true\n");
    write(Path::new(&iftops), "\u{feff}use-bytes: yes\n");
    write(Path::new(&classes), "\u{feff}web :80\n");
    write(Path::new(&names), "\u{feff}198.18.0.1 one\n");
    let run = |arguments: &[&str]| {
        let output =
            program(home.path(), &[&["-r", CAPTURE, "-c", "/dev/null"], arguments].concat()).output();
        let (code, text, errors) = told(&output.expect("it runs"));
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}");
        text
    };
    assert!(run(&["-c", &own]).contains("byte/s"));
    let text = run(&["--iftoprc", &iftops]);
    assert!(text.contains("byte/s") && !text.contains("without effect"), "{text}");
    let text = run(&["--classes", &classes, "--by", "class"]);
    assert!(text.contains("web") && !text.contains('\u{feff}'), "{text}");
    // As another line of the same class: one class, not two that look alike.
    write(Path::new(&classes), "\u{feff}web :81\nweb :80\n");
    let json = run(&["--classes", &classes, "--by", "class", "-o", "json"]);
    assert!(!json.contains('\u{feff}'), "{json}");
    assert!(run(&["--names", &names]).contains("one:43258"));
}

#[test]
fn a_threshold_without_its_percent_sign_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let own = home.path().join("own.toml");
    write(&own, "top = 1\nburst-threshold = 80\n");
    let run = |arguments: &[&str]| {
        told(&program(home.path(), &[&["-r", CAPTURE], arguments].concat()).output().expect("it runs"))
    };
    let what = "--burst-threshold cannot be \"80\": it takes";
    let (code, text, errors) = run(&["-c", "/dev/null", "--burst-threshold", "80"]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(errors.starts_with(&format!("fullcount: {what}")), "{errors}");
    assert!(errors.contains("80%") && errors.contains("80M") && errors.lines().count() == 1, "{errors}");
    let (code, text, errors) = run(&["-c", &own.to_string_lossy()]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(errors.starts_with(&format!("fullcount: {}, line 2: {what}", own.display())), "{errors}");
}
