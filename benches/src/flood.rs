//! Ten million invented clients against a bound of a hundred thousand buckets.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tollgate::workbench::Buckets;

use crate::growth::resident;

const HONEST: usize = 1000;
const INVENTED: usize = 10_000_000;

pub(crate) fn flood() {
    // A token a minute: buckets that were taken from stay for a while, as in a real flood.
    let buckets = Buckets::new(Duration::from_secs(60), 100, 100_000).expect("a quota");
    let mut name = String::new();
    let mut take = |kind: &str, n: usize| {
        name.clear();
        let _always_fits = write!(name, "{kind}-{n:010}");
        buckets.take(&name)
    };
    let mut honest = 0;
    for n in 0..HONEST {
        honest += usize::from(take("honest", n));
    }
    assert_eq!(honest, HONEST);
    println!("| invented clients so far | ns per decision | let in | resident, MiB | honest clients admitted |");
    println!("| --- | --- | --- | --- | --- |");
    for million in 0..INVENTED / 1_000_000 {
        let start = Instant::now();
        let admitted = (0..1_000_000).filter(|n| take("invented", million * 1_000_000 + n)).count();
        let ns = start.elapsed().as_nanos() as f64 / 1e6;
        // Each honest client calls five times in each million of the flood: 50 of its 100.
        let honest = (0..HONEST * 5).filter(|n| take("honest", n % HONEST)).count();
        println!(
            "| {} million | {ns:.0} | {admitted} | {:.1} | {honest} of {} |",
            million + 1, resident() as f64 / f64::from(1 << 20), HONEST * 5
        );
    }
}
