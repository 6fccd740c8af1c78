//! How fast senders may be before anything of them is believed: each by its address, and all strangers together.
//!
//! What a source's own `rate` counts is counted by the pipeline, after verification: there a stranger uses up nothing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::rate::{ByAddress, Rate, Strangers, Wait};
use crate::telemetry::Limit;

/// Limits on senders; none where the settings name none.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    by_address: Option<Arc<ByAddress>>,
    strangers: Option<Arc<Strangers>>,
}

impl Senders {
    /// What holds after a reload: budgets whose rate is the same go on, and whoever proved itself stays known.
    pub fn follow(&self, by_address: Option<Rate>, strangers: Option<Rate>) -> Self {
        Self {
            by_address: by_address.map(|rate| match &self.by_address {
                Some(same) if same.rate() == rate => same.clone(),
                _ => Arc::new(ByAddress::new(rate)),
            }),
            strangers: strangers.map(|rate| match &self.strangers {
                Some(same) if same.rate() == rate => same.clone(),
                Some(other) => Arc::new(other.with_rate(rate)),
                None => Arc::new(Strangers::new(rate)),
            }),
        }
    }

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
