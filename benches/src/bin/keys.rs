//! What API keys of a key file take of memory, and how long they take to load.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --no-default-features --bin keys [COUNT [file|policy]]
//! ```
//!
//! With `policy` they stand in the policy itself. Time of this process is read from `/proc`: in ticks,
//! of which Linux has a hundred a second.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
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
    let in_policy = std::env::args().nth(2).is_some_and(|place| place == "policy");
    let folder = std::env::temp_dir().join(format!("tollgate-keys-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let measured = measure(count, in_policy, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(count: usize, in_policy: bool, folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let (policy, keys) = (folder.join("tollgate.toml"), folder.join("keys.toml"));
    let mut text = String::from("version = 1\n");
    if !in_policy {
        text.push_str("[api_keys]\nfile = \"keys.toml\"\n");
    }
    text.push_str(
        "[[rule]]\nname = \"all\"\npath = \"/{*rest}\"\nscopes = [\"orders:read\"]\n",
    );
    fs::write(&policy, text)?;
    let place = if in_policy { &policy } else { &keys };
    let mut file = BufWriter::new(fs::File::options().create(true).append(true).open(place)?);
    let mut entry = String::new();
    for key in 0..count {
        let digest = KeyDigest::of(&key.to_be_bytes());
        entry.clear();
        write!(
            entry,
            "[[key]]\nid = \"key-{key:07}\"\nclient = \"client-{key:07}\"\ndigest = \"{digest}\"\n\
             scopes = [\"orders:read\", \"orders:write\"]\nplan = \"free\"\n\n"
        )?;
        file.write_all(entry.as_bytes())?;
    }
    file.flush()?;
    drop(file);
    println!("{count} keys in {} MB of TOML", fs::metadata(place)?.len() / 1_000_000);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The most that was resident counts from now on.
    fs::write("/proc/self/clear_refs", "5")?;
    MOST.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed);
    let (before, resident) = (LIVE.load(Ordering::Relaxed), of_status("VmHWM")?);
    let ((user, system), begin) = (ticks()?, Instant::now());
    let gate = Tollgate::builder().policy_file(&policy).watch(false).build();
    let gate = runtime.block_on(gate)?;
    let took = begin.elapsed();
    let (user, system) = (ticks()?.0 - user, ticks()?.1 - system);
    let held = LIVE.load(Ordering::Relaxed) - before;
    let most = MOST.load(Ordering::Relaxed) - before;
    println!(
        "loaded in {:.2} s ({:.2} s of the processor for the program, {:.2} s for the system)",
        took.as_secs_f64(),
        user as f64 / 100.0,
        system as f64 / 100.0
    );
    println!("{} bytes a key while they are in force", held / count.max(1));
    println!("{} bytes a key at most while they are loaded", most / count.max(1));
    println!("{} MiB resident at most (VmHWM)", (of_status("VmHWM")? - resident) / 1024);
    let begin = Instant::now();
    drop(gate);
    println!("dropped in {:.2} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Ticks of the processor for the program, and for the system on its behalf.
fn ticks() -> Result<(u64, u64), Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit_once(')').ok_or("no name")?.1;
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut next = || -> Result<u64, Box<dyn Error>> { Ok(fields.next().ok_or("no time")?.parse()?) };
    Ok((next()?, next()?))
}

/// A figure of `/proc/self/status`, in KiB.
fn of_status(name: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.ok_or("no such figure")?.trim().trim_end_matches(" kB").parse()?)
}
