//! What API keys of a policy take of memory, and how long they take to load. They are in the policy's
//! text: a file may have 64 MiB, which is a third of a million such keys.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --no-default-features --bin keys [COUNT]
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tollgate::Tollgate;
use tollgate::keys::KeyDigest;

/// Counts the bytes that are in use, and the most that ever were.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator, whose contract is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(live, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let mut text = String::from(
        "version = 1\n[[rule]]\nname = \"all\"\npath = \"/{*rest}\"\nscopes = [\"orders:read\"]\n",
    );
    for key in 0..count {
        let digest = KeyDigest::of(&key.to_be_bytes());
        write!(
            text,
            "[[key]]\nid = \"key-{key:07}\"\nclient = \"client-{key:07}\"\ndigest = \"{digest}\"\n\
             scopes = [\"orders:read\", \"orders:write\"]\nplan = \"free\"\n\n"
        )?;
    }
    println!("{count} keys in {} MB of TOML", text.len() / 1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (before, begin) = (LIVE.load(Ordering::Relaxed), Instant::now());
    let gate = Tollgate::builder().policy(text).watch(false).build();
    let gate = runtime.block_on(gate);
    let took = begin.elapsed();
    let gate = gate?;
    let held = LIVE.load(Ordering::Relaxed) - before;
    let most = MOST.load(Ordering::Relaxed) - before;
    println!("loaded in {:.2} s", took.as_secs_f64());
    println!("{} bytes a key while they are in force", held / count.max(1));
    println!("{} bytes a key at most while they are loaded", most / count.max(1));
    drop(gate);
    Ok(())
}
