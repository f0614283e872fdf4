//! Numbers as a person reads them: with their unit, and as many digits as mean something.

/// What stands for a number that is not one.
pub(crate) const NO_NUMBER: &str = "–";

/// `digits` significant digits, thousands parted by commas, no exponent where there is room without.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return NO_NUMBER.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let exponent = value.abs().log10().floor() as i32;
    if !(-5..15).contains(&exponent) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    grouped(&format!("{value:.decimals$}"))
}

/// `+0.62`, `−0.07`: always a sign but for 0, always two decimals, the minus of typographers.
pub(crate) fn signed(value: f64) -> String {
    if !value.is_finite() {
        return NO_NUMBER.into();
    }
    let text = format!("{:.2}", value.abs());
    match value {
        _ if text == "0.00" => text,
        v if v < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// A count, thousands parted by commas.
pub(crate) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// `850 ms`, `41.2 s`, `5 min 07 s`, `2 h 03 min`.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        v if !v.is_finite() => NO_NUMBER.into(),
        v if v < 0.9995 => milliseconds(v * 1e3),
        v if v < 99.95 => format!("{} s", significant(v, 3)),
        v if v < 3599.5 => {
            let whole = v.round() as u64;
            format!("{} min {:02} s", whole / 60, whole % 60)
        }
        v => {
            let minutes = (v / 60.0).round() as u64;
            format!("{} h {:02} min", count(minutes / 60), minutes % 60)
        }
    }
}

/// `12.3 ms`, `45.6 µs`.
pub(crate) fn milliseconds(value: f64) -> String {
    match value {
        v if !v.is_finite() => NO_NUMBER.into(),
        0.0 => "0 ms".into(),
        v if v.abs() < 0.1 => format!("{} µs", significant(v * 1e3, 3)),
        v => format!("{} ms", significant(v, 3)),
    }
}

/// `4.2 %`.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        p if !p.is_finite() => NO_NUMBER.into(),
        p if p.abs() < 1.0 => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// `7.8 GiB`.
pub(crate) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", significant(scaled, 3), units[unit])
}

/// `28.4 dB`.
pub(crate) fn decibels(value: f64) -> String {
    if value.is_finite() { format!("{value:.1} dB") } else { NO_NUMBER.into() }
}

fn grouped(number: &str) -> String {
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", whole),
    };
    let mut text = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && digits.len() > 4 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_units_and_sensible_digits() {
        assert_eq!(significant(1234567.0, 3), "1,234,567");
        assert_eq!(significant(-0.012345, 3), "−0.0123");
        assert_eq!(significant(1.5e-9, 3), "1.50e-9");
        assert_eq!(signed(-0.004), "0.00");
        assert_eq!(signed(-0.07), "−0.07");
        assert_eq!(signed(0.6249), "+0.62");
        assert_eq!(seconds(0.25), "250 ms");
        assert_eq!(seconds(41.23), "41.2 s");
        assert_eq!(seconds(99.97), "1 min 40 s");
        assert_eq!(seconds(3599.9), "1 h 00 min");
        assert_eq!(milliseconds(0.0456), "45.6 µs");
        assert_eq!(bytes(8.0 * 1024.0 * 1024.0 * 1024.0), "8.00 GiB");
        assert_eq!(percent(0.0042), "0.42 %");
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        for show in [signed, seconds, milliseconds, percent, bytes, decibels] {
            assert!(show(f64::NAN).starts_with(NO_NUMBER));
            assert!(show(f64::INFINITY).starts_with(NO_NUMBER));
        }
        assert_eq!(significant(f64::NEG_INFINITY, 3), NO_NUMBER);
    }
}
