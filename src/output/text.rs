//! Stub.
use super::*;
/// Stub.
pub struct Text<W> {
    writer: W,
}
impl<W: std::io::Write> Text<W> {
    /// Stub.
    pub fn new(writer: W, _style: Style) -> Self {
        Self { writer }
    }
}
impl<W: std::io::Write> Output for Text<W> {
    fn start(&mut self, start: &Start, _context: &Context) -> io::Result<()> {
        writeln!(self.writer, "{start:?}")
    }
    fn snapshot(&mut self, s: &Snapshot, _c: &Coverages, _x: &Context) -> io::Result<()> {
        writeln!(
            self.writer,
            "{} {:?} {:?}",
            s.time_ns,
            s.table,
            s.interfaces
                .iter()
                .map(|i| i.total.map(|l| (l.count, l.frames, l.frame_bytes, l.untracked_sum())))
                .collect::<Vec<_>>()
        )?;
        for row in s.rows.iter().take(5) {
            writeln!(self.writer, "{row:?}")?;
        }
        Ok(())
    }
    fn notice(&mut self, n: &Notice, _x: &Context) -> io::Result<()> {
        writeln!(self.writer, "{n:?}")
    }
    fn stop(&mut self, r: &StopReason, _s: &Snapshot, _c: &Coverages, _x: &Context) -> io::Result<()> {
        writeln!(self.writer, "{r:?}")?;
        self.writer.flush()
    }
}
