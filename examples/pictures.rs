//! Pictures of the screen: runs `PROGRAM demo` on a terminal, types the keys of each
//! view, and writes what stands there as SVG. `scripts/pictures` says how.
//!
//! What is in a picture was on a screen, cell by cell: nothing is drawn by hand.

#[path = "../tests/common/terminal.rs"]
mod terminal;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use terminal::OnTerminal;

const COLUMNS: u16 = 120;
const LINES: u16 = 32;
/// Pixels of a cell; the width is that of common monospace fonts at this size.
const SIZE: f64 = 14.0;
const WIDTH: f64 = 8.43;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 10.0;
const PAPER: &str = "#12161c";
const INK: &str = "#d6dce5";
/// The sixteen colours of a terminal.
const COLOURS: [&str; 16] = [
    "#2b323c", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d6dce5", "#6b7685",
    "#ff7b86", "#b5e890", "#ffd98a", "#82c4ff", "#df9bf2", "#7fdbe6", "#ffffff",
];

/// A view, the keys that lead there, and what has to be seen for it to be worth a picture.
const VIEWS: [(&str, &str, &[&str]); 7] = [
    ("connections", "", &[" Connections by rate, 1-", "198.18.4.1:6802"]),
    ("hosts", "\x1bOQ", &[" Hosts by 2 s average, 1-", "=>"]),
    ("destinations", "\x1bOR", &[" Destinations", "198.51.100.5", "192.0.2.66"]),
    ("handshakes", "\x1bOS", &[" Handshakes", "(timeout)", "(unreach)"]),
    ("links", "\x1b[15~", &[" Links", "layer3+4"]),
    ("bursts", "\x1b[17~", &[" Bursts the newest", "198.18.7.30:873"]),
    ("who", "\r", &["who filled it", "198.18.7.30:873"]),
];

fn main() {
    let mut words = std::env::args_os().skip(1);
    let (Some(program), Some(folder)) = (words.next(), words.next().map(PathBuf::from)) else {
        eprintln!("usage: pictures PROGRAM FOLDER");
        std::process::exit(2);
    };
    let mut command = Command::new(program);
    command.arg("demo");
    let mut screen = OnTerminal::start(command, COLUMNS, LINES);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    // Averages and bursts need a while.
    screen.keys("\x1b[17~");
    screen.wait("some bursts", |text| {
        text.lines().filter(|line| line.contains("198.18.7.30:873")).count() >= 5
    });
    screen.keys("\x1bOP");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, keys, seen) in VIEWS {
        screen.keys(keys);
        screen.wait(name, |text| seen.iter().all(|one| text.contains(one)));
        // A frame whole: what is written in pieces is read in pieces.
        let mut shown = screen.screen();
        loop {
            std::thread::sleep(std::time::Duration::from_millis(60));
            let now = screen.screen();
            if now.contents() == shown.contents() {
                break;
            }
            shown = now;
        }
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, svg(&shown)).expect("a picture");
        println!("{}", path.display());
    }
    screen.keys("q");
    let (status, text) = screen.end();
    assert!(status.success(), "{text}");
}

/// How a cell looks: ink, paper if it is another than the picture's, bold, underlined.
#[derive(Clone, PartialEq)]
struct Look {
    ink: String,
    paper: Option<String>,
    bold: bool,
    dim: bool,
    underlined: bool,
}

fn look(cell: &vt100::Cell) -> Look {
    let ink = colour(cell.fgcolor()).unwrap_or_else(|| INK.to_owned());
    let paper = colour(cell.bgcolor());
    let (ink, paper) =
        if cell.inverse() { (paper.unwrap_or_else(|| PAPER.to_owned()), Some(ink)) } else { (ink, paper) };
    Look { ink, paper, bold: cell.bold(), dim: cell.dim(), underlined: cell.underline() }
}

/// None is what the terminal has by default.
fn colour(colour: vt100::Color) -> Option<String> {
    match colour {
        vt100::Color::Default => None,
        vt100::Color::Idx(number @ 0..16) => Some(COLOURS[usize::from(number)].to_owned()),
        vt100::Color::Idx(number @ 16..=231) => {
            let part = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
            let cube = number - 16;
            let [red, green, blue] = [cube / 36, cube / 6 % 6, cube % 6].map(part);
            Some(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        vt100::Color::Idx(number) => {
            let grey = 8 + 10 * (number - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
        vt100::Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
    }
}

fn svg(screen: &vt100::Screen) -> String {
    let (width, height) =
        (2.0 * MARGIN + WIDTH * f64::from(COLUMNS), 2.0 * MARGIN + HEIGHT * f64::from(LINES));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"{SIZE}\" \
         xml:space=\"preserve\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n"
    );
    for line in 0..LINES {
        let cells: Vec<(String, Look)> = (0..COLUMNS)
            .filter_map(|column| screen.cell(line, column))
            .map(|cell| {
                (if cell.has_contents() { cell.contents().to_owned() } else { " ".to_owned() }, look(cell))
            })
            .collect();
        let mut at = 0;
        for run in cells.chunk_by(|one, next| one.1 == next.1) {
            add_run(&mut text, f64::from(line), at, run);
            at += run.len();
        }
    }
    text + "</svg>\n"
}

/// Cells of one look, side by side.
fn add_run(text: &mut String, line: f64, at: usize, run: &[(String, Look)]) {
    let Look { ink, paper, bold, dim, underlined } = &run[0].1;
    let (x, y) = (MARGIN + WIDTH * at as f64, MARGIN + HEIGHT * line);
    if let Some(paper) = paper {
        let width = WIDTH * run.len() as f64;
        let _ = writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
        );
    }
    let words: String = run.iter().map(|(one, _)| one.as_str()).collect();
    if words.trim().is_empty() {
        return;
    }
    // Columns stay where they are, whatever the font of whoever looks: a piece for each
    // stretch without two blanks.
    let mut place = at;
    let chars: Vec<char> = words.chars().collect();
    let mut style = format!("fill=\"{ink}\"");
    if *bold {
        style += " font-weight=\"bold\"";
    }
    if *dim {
        style += " opacity=\".65\"";
    }
    if *underlined {
        style += " text-decoration=\"underline\"";
    }
    let y = y + HEIGHT * 0.74;
    for piece in pieces(&chars) {
        match piece {
            Piece::Blanks(count) => place += count,
            Piece::Words(words) => {
                let x = MARGIN + WIDTH * place as f64;
                place += words.chars().count();
                let wide = WIDTH * words.chars().count() as f64;
                let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let _ = writeln!(
                    text,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{wide:.1}\" {style}>{words}</text>"
                );
            }
        }
    }
}

enum Piece {
    Blanks(usize),
    Words(String),
}

/// Taken apart where two blanks or more stand.
fn pieces(chars: &[char]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut words = String::new();
    let mut at = 0;
    while at < chars.len() {
        let blanks = chars[at..].iter().take_while(|one| **one == ' ').count();
        if blanks > 1 || blanks > 0 && (words.is_empty() || at + blanks == chars.len()) {
            if !words.is_empty() {
                pieces.push(Piece::Words(std::mem::take(&mut words)));
            }
            pieces.push(Piece::Blanks(blanks));
            at += blanks;
        } else {
            words.push(chars[at]);
            at += 1;
        }
    }
    if !words.is_empty() {
        pieces.push(Piece::Words(words));
    }
    pieces
}
