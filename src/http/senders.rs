//! How fast senders may be before anything of them is believed: each by its address, and all strangers together.
//!
//! What a source's own `rate` counts is counted by the pipeline, after verification: there a stranger uses up nothing.

use std::net::IpAddr;

use crate::rate::{ByAddress, Strangers, Wait};
use crate::telemetry::Limit;

/// Limits on senders; none where the settings name none.
#[derive(Debug, Default)]
pub struct Senders {
    pub by_address: Option<ByAddress>,
    pub strangers: Option<Strangers>,
}

impl Senders {
    pub fn admit(&self, address: Option<IpAddr>) -> Result<(), (Limit, Wait)> {
        let Some(address) = address else { return Ok(()) };
        if let Some(senders) = &self.by_address {
            senders.take(address).map_err(|wait| (Limit::AddressRate, wait))?;
        }
        if let Some(strangers) = &self.strangers {
            strangers.take(address).map_err(|wait| (Limit::StrangersRate, wait))?;
        }
        Ok(())
    }

    /// Something from this address was verified.
    pub fn proved(&self, address: Option<IpAddr>) {
        if let (Some(strangers), Some(address)) = (&self.strangers, address) {
            strangers.proved(address);
        }
    }
}
