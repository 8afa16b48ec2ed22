//! Who a request comes from, as far as the stages have found out.

use crate::address::ClientAddress;
use crate::principal::Principal;

/// What was learnt of the caller, whatever the outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) address: Option<ClientAddress>,
    pub(crate) principal: Option<Principal>,
}
