//! lib
mod address;
mod claims;
mod credential;
mod denial;
mod gate;
mod limit;
mod policy;
mod principal;
mod scope;
mod time;
mod verify;
#[doc(hidden)]
pub mod workbench;

pub use denial::{Category, Denial, DenialCode};
pub use gate::{
    Admission, ApiKey, Claims, LimitBalance, OpenError, Scoped, Tollgate, TollgateBuilder,
    TollgateFuture, TollgateLayer, TollgateService,
};
pub use limit::MemoryStore;
pub use policy::{Fault, Severity};
pub use principal::{CredentialKind, Principal};
pub use scope::{__is_scope, InvalidScope, RequiredScopes, Scope, Scopes};
pub use time::{Clock, ManualClock};
