//! What README.md shows is what the program does: its samples on fixtures are
//! run and compared, its command lines are parsed. Live samples are not run.

use fullcount::cli;
use std::ffi::OsString;
use std::process::Command;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md")
}

/// Command and expected output of each `console` block.
fn samples(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("```console\n$ ").skip(1);
    let sample = |block: &str| {
        let block = block.split("```").next().expect("a block that ends");
        block.split_once('\n').map(|(command, output)| (command.to_owned(), output.to_owned()))
    };
    blocks.filter_map(sample).collect()
}

#[test]
fn samples_are_what_the_program_prints() {
    let samples = samples(&readme());
    assert!(samples.len() >= 2, "{samples:?}");
    let folder = tempfile::tempdir().expect("a folder");
    // Samples call the program by its name.
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fullcount"), folder.path().join("fullcount"))
        .expect("a link");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    for (command, expected) in samples {
        if command.contains("| jq") && Command::new("jq").arg("--version").output().is_err() {
            eprintln!("SKIPPED: jq is not installed, this was not compared: {command}");
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", &path)
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{command}");
        assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
    }
}

/// Words as a shell makes them; enough for README.md.
fn words(command: &str) -> Vec<OsString> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for one in command.chars() {
        match one {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("one").push(one),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).map(OsString::from).collect()
}

#[test]
fn command_lines_are_understood() {
    let readme = readme();
    // Between backticks, and lines of `sh` blocks up to a comment.
    let inline = readme.split('`').skip(1).step_by(2).filter(|code| code.starts_with("fullcount "));
    let blocks = readme.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("fullcount"));
    let lines = lines.map(|line| line.split(" # ").next().unwrap_or(line).trim());
    let commands: Vec<&str> = inline.chain(lines).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let parsed = cli::parse(words(command), &|_| true);
        assert!(
            parsed.is_ok(),
            "{command}: {}",
            parsed.err().map(|error| error.to_string()).unwrap_or_default()
        );
    }
}

#[test]
fn links_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(link.starts_with("https://") || root.join(link).exists(), "{document}: {link}");
        }
    }
}
