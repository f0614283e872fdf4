//! Weights kept beside a graph: that every range a tensor names lies inside a file of the model folder.

use crate::error::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataLocation;

/// The files that a graph's tensors name, once each.
pub(super) fn files(graph: &pb::GraphProto) -> Vec<String> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute).filter_map(|a| a.t.as_ref());
    let entries = graph.initializer.iter().chain(attributes).flat_map(|tensor| &tensor.external_data);
    let names: BTreeSet<_> = entries.filter(|e| e.key == "location").map(|e| e.value.clone()).collect();
    names.into_iter().collect()
}

/// Checks the external data of a graph's tensors; returns the bytes of the files that hold it.
pub(super) fn check(folder: &Path, graph_path: &Path, graph: &pb::GraphProto) -> Result<u64> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute).filter_map(|a| a.t.as_ref());
    let mut sizes: HashMap<PathBuf, u64> = HashMap::new();
    for tensor in graph.initializer.iter().chain(attributes) {
        if tensor.data_location != Some(DataLocation::External as i32) {
            continue;
        }
        let value = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = Path::new(value("location").unwrap_or_default());
        let data = folder.join(location);
        let wrong = |reason: String| Error::ExternalData {
            path: graph_path.to_owned(),
            tensor: tensor.name.clone(),
            data: data.clone(),
            reason,
        };
        let is_inside = location.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if location.as_os_str().is_empty() || !is_inside {
            return Err(wrong("is not a path inside the model folder".to_owned()));
        }
        let size = match sizes.get(&data) {
            Some(size) => *size,
            None => {
                let metadata = std::fs::metadata(&data).map_err(|error| wrong(error.to_string()))?;
                if !metadata.is_file() {
                    return Err(wrong("is not a file".to_owned()));
                }
                sizes.insert(data.clone(), metadata.len());
                metadata.len()
            }
        };
        let number = |key: &str| value(key).map(|text| text.parse::<u64>());
        let (offset, length) = match (number("offset").unwrap_or(Ok(0)), number("length").unwrap_or(Ok(0))) {
            (Ok(offset), Ok(length)) => (offset, length),
            _ => return Err(wrong("its offset or length is not a number".to_owned())),
        };
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(wrong(format!("{length} bytes at {offset} expected, the file has {size}")));
        }
    }
    Ok(sizes.values().sum())
}
