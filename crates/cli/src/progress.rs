//! The one display of progress, on standard error. It shows what it is told and chooses nothing.

use std::{
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
};

use dyno_model::event::{Event, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Without a terminal a line of progress is written this often.
const LINE_PAUSE: Duration = Duration::from_secs(15);

/// While nothing is timed, the display's clock shows each second.
const TICK: Duration = Duration::from_secs(1);

/// Shows events.
pub struct Display {
    quiet: bool,
    bar: Option<ProgressBar>,
    /// Lines above the bar that are written anew in place.
    table: Mutex<Table>,
    state: Mutex<State>,
}

/// What is known so far, above the bar.
#[derive(Default)]
struct Table {
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
}

struct State {
    step: Step,
    /// Stacks that were ready when a line said so.
    ready: Option<u64>,
    last_line: Option<Instant>,
}

impl Display {
    /// A display for standard error, or a silent one.
    pub fn new(quiet: bool) -> Self {
        let table = Table::default();
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = table.screen.add(ProgressBar::new(1));
            let style = ProgressStyle::with_template("{prefix:>8} [{bar:24}] {elapsed:>4} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Self {
            quiet,
            bar,
            table: Mutex::new(table),
            state: Mutex::new(State { step: Step::Prepare, ready: None, last_line: None }),
        }
    }

    /// Shows one event.
    pub fn show(&self, event: &Event) {
        if self.quiet {
            if let Event::Warning(warning) = event {
                eprintln!("warning: {}: {}", warning.subject, warning.text);
            }
            return;
        }
        match event {
            Event::Command { argv } => self
                .line(&format!("$ {}", argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))),
            Event::Note(text) => self.line(text),
            Event::Warning(warning) => {
                self.line(&format!("warning: {}: {}; {}", warning.subject, warning.text, warning.advice));
            }
            Event::Step { step, detail } => self.step(*step, detail),
            Event::Preparing { ready, total, on_the_way, elapsed_s } => {
                self.preparing(*ready, *total, on_the_way, *elapsed_s);
            }
            Event::Progress { done, total, left_s, stack, operation } => {
                let subject = [stack.as_ref().map(ToString::to_string), operation.map(|one| one.to_string())];
                let subject = subject.into_iter().flatten().collect::<Vec<_>>().join("  ");
                self.progress(*done, *total, *left_s, &subject);
            }
        }
    }

    /// Shows what is known so far, a line each: on a terminal in the place of what was known before, else once more.
    pub fn so_far(&self, lines: &[String]) {
        if self.quiet {
            return;
        }
        let Some(bar) = &self.bar else { return lines.iter().for_each(|line| self.line(line)) };
        let mut table = self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while table.lines.len() < lines.len() {
            let style =
                ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            let line = table.screen.insert_before(bar, ProgressBar::new(1).with_style(style));
            table.lines.push(line);
        }
        for (at, line) in table.lines.iter().enumerate() {
            line.set_message(lines.get(at).cloned().unwrap_or_default());
        }
    }

    /// Takes the bar away, and what was known so far: whoever calls shows all of it now.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            let mut table = self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            table.lines.drain(..).for_each(|line| line.finish_and_clear());
            bar.finish_and_clear();
        }
    }

    fn preparing(&self, ready: u64, total: u64, on_the_way: &[String], elapsed_s: f64) {
        let words = preparation(ready, total, on_the_way);
        let Some(bar) = &self.bar else {
            let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // What begins is told by its commands; a line each time that a stack is ready.
            if state.ready.replace(ready) != Some(ready) {
                eprintln!("{}: {words} ({})", Step::Prepare.name(), span(elapsed_s));
            }
            return;
        };
        bar.set_prefix(Step::Prepare.name());
        bar.set_length(total);
        bar.set_position(ready);
        bar.set_message(words);
        // Between two events seconds may pass.
        bar.enable_steady_tick(TICK);
    }

    fn step(&self, step: Step, detail: &str) {
        let changed = {
            let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::replace(&mut state.step, step) != step
        };
        match &self.bar {
            Some(bar) => {
                // A clock that ticks would be one more who works beside what is measured.
                if step >= Step::Measure {
                    bar.disable_steady_tick();
                }
                bar.set_prefix(step.name());
                bar.set_message(detail.to_owned());
                if changed {
                    bar.set_position(0);
                }
                bar.tick();
            }
            None => self.line(&format!("{}: {detail}", step.name())),
        }
    }

    fn progress(&self, done: u64, total: u64, left_s: Option<f64>, subject: &str) {
        let left = left_s.map_or_else(String::new, |left_s| format!("  {} left", span(left_s)));
        let message = format!("{done}/{total}{left}  {subject}");
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message);
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.last_line.is_none_or(|last| last.elapsed() >= LINE_PAUSE) {
            state.last_line = Some(Instant::now());
            eprintln!("{}: {message}", state.step.name());
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

/// `3 of 8 stacks ready; on the way: go-bun/go, database`.
fn preparation(ready: u64, total: u64, on_the_way: &[String]) -> String {
    let stacks = if total == 1 { "stack" } else { "stacks" };
    match on_the_way {
        [] => format!("{ready} of {total} {stacks} ready"),
        some => format!("{ready} of {total} {stacks} ready; on the way: {}", some.join(", ")),
    }
}

/// `4m 05s`, `12s`.
fn span(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    if seconds >= 60 { format!("{}m {:02}s", seconds / 60, seconds % 60) } else { format!("{seconds}s") }
}

/// A word as a shell would need it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_needs_them() {
        assert_eq!(quoted("--bind=127.0.0.1:80"), "--bind=127.0.0.1:80");
        assert_eq!(quoted("daemon off;"), "'daemon off;'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn how_far_the_preparation_is_says_what_is_still_on_the_way() {
        let on_the_way = ["go-bun/go", "database"].map(str::to_owned);
        assert_eq!(preparation(3, 8, &on_the_way), "3 of 8 stacks ready; on the way: go-bun/go, database");
        assert_eq!(preparation(1, 1, &[]), "1 of 1 stack ready");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!((span(12.4), span(245.0)), ("12s".to_owned(), "4m 05s".to_owned()));
    }
}
