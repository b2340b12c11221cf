//! Decodes event files by hand.

use std::collections::BTreeMap;

pub type Points = BTreeMap<String, Vec<(i64, f32)>>;

pub fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
        let (head, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        Some(head)
    }
    let is_sum = |sum: &[u8], data: &[u8]| {
        let plain = u32::from_le_bytes(sum.try_into().unwrap()).wrapping_sub(0xa282_ead8);
        assert_eq!(plain.rotate_left(15), crc32c::crc32c(data));
    };
    let mut next = || {
        let length = take(&mut bytes, 8)?;
        is_sum(take(&mut bytes, 4)?, length);
        let count = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let data = take(&mut bytes, count)?;
        is_sum(take(&mut bytes, 4)?, data);
        Some(data)
    };
    std::iter::from_fn(&mut next).collect()
}

/// Returns numbers and raw bytes; a varint takes eight.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let length = match key & 7 {
            0 => {
                let value = number(&mut bytes);
                all.push((key >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => number(&mut bytes) as usize,
            5 => 4,
            kind => panic!("there is no kind {kind} of a field"),
        };
        let (value, rest) = bytes.split_at(length);
        all.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    all
}

fn field(message: &[u8], number: u64) -> Option<Vec<u8>> {
    let mut all = fields(message).into_iter();
    Some(all.find(|(other, _)| *other == number)?.1)
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.unwrap_or_default()).unwrap()
}

fn integer(bytes: Option<Vec<u8>>) -> i64 {
    bytes.map_or(0, |bytes| i64::from_le_bytes(bytes.try_into().unwrap()))
}

#[derive(Debug, Default)]
pub struct Said {
    pub points: Points,
    pub names: BTreeMap<String, String>,
    pub layouts: Vec<Vec<Vec<String>>>,
}

pub fn read(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    for (index, event) in frames(bytes).into_iter().enumerate() {
        let time = f64::from_le_bytes(field(event, 1).unwrap().try_into().unwrap());
        assert!(time > 1.6e9, "{time} is no time of today, in seconds");
        assert_eq!(text(field(event, 3)), ["brain.Event:2", ""][index.min(1)]);
        let step = integer(field(event, 2));
        if let Some(session) = field(event, 7) {
            assert_eq!(integer(field(&session, 1)), 1, "a session starts");
            for points in said.points.values_mut() {
                points.retain(|point| point.0 < step);
            }
        }
        for (_, value) in field(event, 5).iter().flat_map(|summary| fields(summary)) {
            let tag = text(field(&value, 1));
            if let Some(metadata) = field(&value, 9) {
                said.names.insert(tag.clone(), text(field(&metadata, 2)));
            }
            match field(&value, 2) {
                Some(number) => {
                    let point = (step, f32::from_le_bytes(number.try_into().unwrap()));
                    said.points.entry(tag).or_default().push(point);
                }
                None => {
                    assert_eq!(tag, "custom_scalars__config__");
                    let layout = field(&field(&value, 8).unwrap(), 8).unwrap();
                    let charts = fields(&field(&layout, 2).unwrap()).into_iter();
                    let charts = charts.filter(|(number, _)| *number == 2);
                    let tags = |chart: Vec<u8>| {
                        let tags = fields(&field(&chart, 2).unwrap()).into_iter();
                        tags.map(|(_, tag)| text(Some(tag))).collect()
                    };
                    said.layouts
                        .push(charts.map(|(_, chart)| tags(chart)).collect());
                }
            }
        }
    }
    said
}
