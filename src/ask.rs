//! What a decision is made from: the facts of one request.

use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::address::Address;
use crate::fields::Fields;
use crate::principal::KeyRecord;
use crate::time::Moment;

/// The facts of a request, borrowed from it.
pub(crate) struct Ask<'r> {
    pub(crate) method: &'r Method,
    /// The raw path, as the client sent it.
    pub(crate) path: &'r str,
    pub(crate) headers: &'r HeaderMap,
    /// The headers that every decision needs, collected in one pass.
    pub(crate) fields: Fields<'r>,
    /// The other end of the connection; `None` where the server does not know it.
    pub(crate) peer: Option<Address>,
    /// What the request has waited for.
    pub(crate) came: &'r Came,
    pub(crate) moment: Moment<'r>,
}

/// What came while a request waited. A request waits once for each of these at most, and is judged
/// again with what came.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// Whether it waited for the keys of an issuer.
    pub(crate) keys: bool,
    /// What became of looking its API key up, where it waited for that.
    pub(crate) record: Option<LookedUp>,
    /// Whether that took one of the attempts of its address.
    pub(crate) is_paid: bool,
}

/// What became of looking an API key up in its source.
#[derive(Clone, Debug)]
pub(crate) enum LookedUp {
    Found(Arc<KeyRecord>),
    Absent,
    /// The source did not answer.
    Unavailable,
}

/// One thing that a request waited for.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// The keys of an issuer were asked for again.
    Keys,
    Record(LookedUp),
    /// The same, for one of the attempts of its address.
    PaidRecord(LookedUp),
}

/// Ends with what a request waits for. Whoever makes one sees to it that it ends.
pub(crate) type Wait = Pin<Box<dyn Future<Output = Arrived> + Send>>;

impl Came {
    /// Of a request that has not waited.
    pub(crate) const NOTHING: &'static Self = &NOTHING;

    pub(crate) fn add(&mut self, arrived: Arrived) {
        match arrived {
            Arrived::Keys => self.keys = true,
            Arrived::Record(looked_up) => self.record = Some(looked_up),
            Arrived::PaidRecord(looked_up) => {
                self.record = Some(looked_up);
                self.is_paid = true;
            }
        }
    }
}

static NOTHING: Came = Came { keys: false, record: None, is_paid: false };
