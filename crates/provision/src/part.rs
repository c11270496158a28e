//! One maker at a time for each part of the cache within this process: whoever else wants the part waits, and finds it made.
//! Between processes the cache's own lock does that ([`crate::Home::lock`]).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The makers by their parts; as many as a catalogue has parts, so that none is ever taken out.
static MAKERS: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());

/// Does `work` while no other thread of this process makes the part at `path`. The work looks first whether the part is there.
///
/// Parts need parts (an environment needs uv), never each other; the same thread mustn't ask for a part that it is making.
pub(crate) fn alone<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let maker = {
        let mut makers = MAKERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(makers.entry(path.to_owned()).or_default())
    };
    // What a maker that panicked has left has no marker, and is made again.
    let _making = maker.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn a_part_that_many_want_at_once_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let (part, made) = (folder.path().join("part"), AtomicU32::new(0));
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    alone(&part, || {
                        if !part.is_file() {
                            made.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            std::fs::write(&part, "").unwrap();
                        }
                    });
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn two_parts_are_made_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        let together = Barrier::new(2);
        // Each waits for the other inside its own part: with one lock for all, neither would ever end.
        thread::scope(|scope| {
            for name in ["one", "two"] {
                let (part, together) = (folder.path().join(name), &together);
                scope.spawn(move || alone(&part, || together.wait()));
            }
        });
    }
}
