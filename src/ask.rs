//! What a decision is made from: the facts of one request.

use http::{HeaderMap, Method};

use crate::address::Address;
use crate::fields::Fields;
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
    /// Whether the request has waited for keys that were asked for on its behalf.
    pub(crate) waited: bool,
    pub(crate) moment: Moment<'r>,
}
