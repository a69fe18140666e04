use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Units;

/// Below this many thousandths a decimal has 15 digits at most, which every JSON parser gives back as they were: most
/// read numbers into doubles.
const DOUBLE_THOUSANDTHS_LIMIT: u64 = 1_000_000_000_000_000;
const RATE_PER_MIN: Duration = Duration::from_millis(1);
const RATE_PER_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// What a buyer gets for the price of a plan. The price itself is in the plan's offer.
///
/// A subscription keeps a copy, so that editing a plan changes nothing already sold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// Its name, as in `?plan=`.
    pub name: Arc<str>,
    /// How much may be used; none for no limit.
    pub units: Option<Units>,
    /// How long it lasts from the moment of settlement, in whole seconds.
    pub duration: Duration,
    /// How fast it may be used; none for no limit.
    pub rate: Option<Rate>,
    /// How many calls may come at once after a pause; as many as the rate has unless said otherwise.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// A number of calls in a stretch of time, for example 10 in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// Calls; never zero.
    pub calls: u32,
    /// The stretch; never zero.
    pub per: Duration,
}

impl Plan {
    /// The member of an offer's `extra` that holds a plan.
    pub const QUOTED: &str = "plan";

    /// The plan as its offer tells it. A quote is bound to it with the rest of the terms, so that a plan is sold as it
    /// was quoted.
    pub fn to_quote(&self) -> Value {
        let units = self.units.map(|units| match units.thousandths() < DOUBLE_THOUSANDTHS_LIMIT {
            true => units.to_json(),
            false => Value::from(units.to_string()),
        });
        let members = [
            ("name", Some(Value::from(&*self.name))),
            ("units", units),
            ("durationSeconds", Some(Value::from(self.duration.as_secs()))),
            ("rate", self.rate.map(|rate| Value::from(rate.to_string()))),
            ("burst", self.burst.map(Value::from)),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// The plan in the `extra` of agreed terms, as [`Self::to_quote`] wrote it. None if there is none: the quote may be
    /// of a gateway that did not tell it yet.
    pub fn quoted(extra: &Map<String, Value>) -> Option<Self> {
        let plan = extra.get(Self::QUOTED)?.as_object()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let units = |value: &Value| Units::parse(&text(value).unwrap_or_else(|| value.to_string())).ok();
        Some(Self {
            name: plan.get("name")?.as_str()?.into(),
            units: read(plan.get("units"), units)?,
            duration: Duration::from_secs(plan.get("durationSeconds")?.as_u64()?),
            rate: read(plan.get("rate"), |value| Rate::parse(value.as_str()?))?,
            burst: read(plan.get("burst"), |value| value.as_u64()?.try_into().ok())?,
        })
    }
}

/// A member that may be absent, but not wrong.
fn read<T>(member: Option<&Value>, value: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    member.map_or(Some(None), |member| value(member).map(Some))
}

impl Rate {
    /// Reads `10/s`, `100/day` or `5000/1h 30m`: some calls in a millisecond to 31 days.
    pub fn parse(text: &str) -> Option<Self> {
        let (calls, per) = text.split_once('/')?;
        let calls: u32 = calls.trim().replace('_', "").parse().ok()?;
        let per = per.trim();
        let one = if per.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "1" };
        let per = humantime::parse_duration(&format!("{one}{per}")).ok()?;
        (calls > 0 && (RATE_PER_MIN..=RATE_PER_MAX).contains(&per)).then_some(Self { calls, per })
    }
}

/// As [`Rate::parse`] reads it.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match (self.per.as_secs(), self.per.subsec_nanos()) {
            (1, 0) => "s",
            (60, 0) => "m",
            (3600, 0) => "h",
            (86_400, 0) => "d",
            _ => return write!(f, "{}/{}", self.calls, humantime::format_duration(self.per)),
        };
        write!(f, "{}/{unit}", self.calls)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn extra(plan: &Value) -> Map<String, Value> {
        Map::from_iter([("name".to_owned(), json!("USD Coin")), (Plan::QUOTED.to_owned(), plan.clone())])
    }

    fn nano() -> Plan {
        let units = Some(Units::from_thousandths(500_000_250));
        let rate = Rate::parse("10/s");
        Plan { name: "nano".into(), units, duration: Duration::from_secs(2_592_000), rate, burst: Some(20) }
    }

    #[test]
    fn a_plan_is_quoted_in_few_words() {
        let quote = r#"{"burst":20,"durationSeconds":2592000,"name":"nano","rate":"10/s","units":500000.25}"#;
        assert_eq!(nano().to_quote().to_string(), quote);
        let boundless = Plan { units: None, rate: None, burst: None, ..nano() };
        assert_eq!(boundless.to_quote().to_string(), r#"{"durationSeconds":2592000,"name":"nano"}"#);
    }

    #[test]
    fn units_that_a_double_would_change_are_a_text() {
        let units = |thousandths| {
            Plan { units: Some(Units::from_thousandths(thousandths)), ..nano() }.to_quote()["units"].clone()
        };
        assert_eq!(units(999_999_999_999_999).to_string(), "999999999999.999");
        assert_eq!(units(1_000_000_000_000_001), json!("1000000000000.001"));
    }

    #[test]
    fn what_is_no_quoted_plan_is_none() {
        assert_eq!(Plan::quoted(&Map::new()), None);
        for (name, wrong) in [
            ("name", json!(null)),
            ("name", json!(5)),
            ("units", json!(-1)),
            ("units", json!(0.0005)),
            ("units", json!(null)),
            ("units", json!([1])),
            ("durationSeconds", json!(1.5)),
            ("durationSeconds", json!("30d")),
            ("rate", json!("0/s")),
            ("rate", json!(10)),
            ("burst", json!(4_294_967_296_u64)),
            ("burst", json!("20")),
        ] {
            let mut plan = nano().to_quote();
            plan[name] = wrong.clone();
            assert_eq!(Plan::quoted(&extra(&plan)), None, "{name} {wrong}");
        }
        for missing in ["name", "durationSeconds"] {
            let mut plan = nano().to_quote();
            plan.as_object_mut().unwrap().remove(missing).unwrap();
            assert_eq!(Plan::quoted(&extra(&plan)), None, "{missing}");
        }
        for wrong in [json!(null), json!("nano"), json!([])] {
            assert_eq!(Plan::quoted(&extra(&wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_rate_has_many_spellings() {
        for (text, written) in [
            ("10/s", "10/s"),
            ("100/day", "100/d"),
            ("100/1day", "100/d"),
            ("5_000 / 1h", "5000/h"),
            ("7/90s", "7/1m 30s"),
            ("7/1500ms", "7/1s 500ms"),
        ] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), written, "{text}");
        }
        for bad in
            ["", "10", "0/s", "-1/s", "10/", "10/0s", "10/1us", "10/32d", "1/fortnight", "1.5/s", "99999999999/s"]
        {
            assert_eq!(Rate::parse(bad), None, "{bad}");
        }
    }

    prop_compose! {
        fn rate()(calls in 1u32.., nanos in 1_000_000u64..=31 * 86_400 * 1_000_000_000, whole in any::<bool>()) -> Rate {
            let per = Duration::from_nanos(nanos);
            Rate { calls, per: if whole { Duration::from_secs(per.as_secs().max(1)) } else { per } }
        }
    }

    prop_compose! {
        fn plan()(
            name in "[a-zA-Z0-9_-]{1,64}",
            units in proptest::option::of(prop_oneof![any::<u64>(), 0u64..10_000_000_000]),
            seconds in 1u64..=315_576_000,
            rate in proptest::option::of(rate()),
            burst in proptest::option::of(any::<u32>()),
        ) -> Plan {
            let units = units.map(Units::from_thousandths);
            Plan { name: name.into(), units, duration: Duration::from_secs(seconds), rate, burst }
        }
    }

    proptest! {
        #[test]
        fn a_rate_is_read_back_as_it_was(rate in rate()) {
            prop_assert_eq!(Rate::parse(&rate.to_string()), Some(rate));
        }

        #[test]
        fn a_quoted_plan_is_read_back_as_it_was(plan in plan()) {
            prop_assert_eq!(Plan::quoted(&extra(&plan.to_quote())), Some(plan.clone()));
            let echoed: Value = serde_json::from_str(&plan.to_quote().to_string()).unwrap();
            prop_assert_eq!(Plan::quoted(&extra(&echoed)), Some(plan));
        }

        #[test]
        fn reading_a_rate_never_panics(text in ".*") {
            let _ = Rate::parse(&text);
        }
    }
}
