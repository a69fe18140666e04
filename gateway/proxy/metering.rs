//! What a keyed call takes of its plan: what the route says, or what the upstream reports.

use std::sync::{Arc, LazyLock};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::HeaderValue;
use pingora::http::ResponseHeader;

use super::exchange::Exchange;
use super::meter::Meter;
use crate::crash::crash_point;
use crate::plans::Units;
use crate::pricing::{Metering, Reported};
use crate::resource_server::{Reservation, ResourceServer, Standing};

/// Complaints of reports that cannot be read: one for each call would bury the log.
static COMPLAINTS: LazyLock<DefaultDirectRateLimiter> =
    LazyLock::new(|| RateLimiter::direct(Quota::per_minute(std::num::NonZeroU32::MIN)));

impl Exchange {
    /// Takes the upstream's report out of its answer: clients never see it, whoever pays. None without one that can be
    /// read.
    pub(super) fn take_report(&self, response: &mut ResponseHeader) -> Option<Units> {
        let reported = self.metering()?.reported.as_ref()?;
        let values: Vec<_> = response.headers.get_all(&reported.header).iter().cloned().collect();
        response.remove_header(&reported.header);
        match values.as_slice() {
            [] => None,
            values => read(reported, values),
        }
    }

    /// Charges a call that the upstream has answered, and has the body paid as it leaves if the route counts bytes. Says
    /// how the plan stands then.
    pub(super) fn charge(
        &mut self,
        server: &Arc<ResourceServer>,
        reservation: Reservation,
        report: Option<Units>,
        response: &ResponseHeader,
    ) -> Standing {
        crash_point!("units.charging");
        let (own, per_byte) = match self.metering() {
            Some(metering) => (report.unwrap_or(metering.units), metering.per_byte),
            None => return reservation.commit(),
        };
        match per_byte {
            None => reservation.commit_at(own),
            Some(per_byte) => {
                let (tab, standing) = server.open_tab(reservation, own, per_byte);
                self.meter = Some(Meter::begin(tab, response));
                standing
            }
        }
    }

    pub(super) fn metering(&self) -> Option<&Metering> {
        self.route.as_ref()?.access.metering()
    }
}

fn read(reported: &Reported, values: &[HeaderValue]) -> Option<Units> {
    let read = match values {
        [value] => value.to_str().ok().and_then(|text| reported.read(text).ok()),
        _ => None,
    };
    if read.is_none() && COMPLAINTS.check().is_ok() {
        tracing::warn!(header = %reported.header, ?values, "the upstream's report of units cannot be read");
    }
    read
}
