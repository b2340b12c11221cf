use super::collect::Collector;
use super::json::missing;
use anyhow::{Error, Result, bail, ensure};
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use std::fs::File;

const ROWS: usize = 64;

/// Leaves out rows without text, and the rest of a damaged group of rows.
pub(super) fn read(file: File, out: &mut Collector) -> Result<()> {
    let reader = SerializedFileReader::new(file)?;
    let metadata = reader.metadata();
    let columns = metadata.file_metadata().schema_descr().columns();
    let names = columns.iter().map(|column| column.path().string());
    let names: Vec<String> = names.collect();
    let Some(index) = names.iter().position(|name| name == out.field) else {
        bail!("{}", missing(out.field, &names));
    };
    let (field, kind) = (out.field, columns[index].physical_type());
    let lists = match columns[index].max_rep_level() {
        0 => "",
        _ => "lists of ",
    };
    ensure!(
        kind == Type::BYTE_ARRAY && lists.is_empty(),
        "its column \"{field}\" holds no strings, but {lists}{kind}"
    );
    let mut row = 0;
    let mut is_read = Ok(());
    for (group, metadata) in metadata.row_groups().iter().enumerate() {
        if out.is_done() {
            return is_read.and(out.cut());
        }
        let first = row;
        row += metadata.num_rows().max(0) as u64;
        let group = reader.get_row_group(group);
        let group = group.and_then(|group| group.get_column_reader(index));
        let column = group.map_err(Error::from);
        let read = column.and_then(|column| read_group(column, &columns[index], first, out));
        if let Err(error) = read {
            let first = first + 1;
            let error = error.context(format!("its rows {first} to {row} are damaged"));
            is_read = is_read.and(Err(error));
        }
    }
    is_read
}

fn read_group(
    column: ColumnReader,
    descriptor: &ColumnDescriptor,
    mut row: u64,
    out: &mut Collector,
) -> Result<()> {
    let ColumnReader::ByteArrayColumnReader(mut column) = column else {
        bail!("its column holds no byte arrays");
    };
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    loop {
        if out.is_done() {
            // Only reading on would show whether a row is left.
            return out.cut();
        }
        values.clear();
        levels.clear();
        let (rows, ..) = column.read_records(ROWS, Some(&mut levels), None, &mut values)?;
        if rows == 0 {
            return Ok(());
        }
        let is_required = descriptor.max_def_level() == 0;
        let mut values = values.iter();
        for index in 0..rows {
            if out.is_done() {
                return out.cut();
            }
            row += 1;
            let is_there = is_required || levels.get(index) == Some(&descriptor.max_def_level());
            let bytes = is_there.then(|| values.next()).flatten();
            let text = bytes.ok_or("its text is null").and_then(|bytes| {
                std::str::from_utf8(bytes.data()).map_err(|_| "its text is not UTF-8")
            });
            out.take(text, ("row", row));
        }
    }
}
