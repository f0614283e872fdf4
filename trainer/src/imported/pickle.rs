//! The tensors of PyTorch's checkpoints: a zip archive whose pickle says where in the archive each tensor lies.
//!
//! A pickle is a program, and who loads it in Python runs it. Here it is read as data: what it would call is compared with
//! the few functions that tensors are made with, and any other is refused.

use super::sources::Entry;
use crate::error::{Error, Result};
use candle_core::DType;
use candle_core::pickle::{Object, Stack};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// What the pickle of a checkpoint may be long at most; that of the largest network here is a hundredth of it.
const PICKLE_LIMIT: u64 = 64 << 20;

/// Names under which training programs put the tensors of a network, the preferred first.
const KEYS: [&str; 4] = ["ema", "state_dict", "model", "model_state_dict"];

/// What tensors and settings are made with. None of it is called.
const KNOWN: [(&str, &str); 13] = [
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch", "Size"),
    ("torch", "device"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("argparse", "Namespace"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
];

/// A part of an archive: where its bytes begin, and how many they are.
struct Part {
    start: u64,
    bytes: u64,
}

/// Tensors by name.
type Entries = Vec<(String, Entry)>;

type Pairs = Vec<(Object, Object)>;

/// The tensors of an archive, and the key that they stand under where that is not the whole.
///
/// # Errors
/// [`Error::Content`] naming the file: it is no archive of PyTorch's, its pickle calls what no tensor needs, there are no
/// tensors, or one lies outside its storage.
pub(super) fn entries(path: &Path, key: Option<&str>) -> Result<(Entries, Option<String>)> {
    let bad = |what: String| Error::content(path, what);
    let file = File::open(path).map_err(Error::io(path))?;
    let mut zip =
        ZipArchive::new(BufReader::new(file)).map_err(|e| bad(format!("no sound zip archive: {e}")))?;
    let mut parts = BTreeMap::new();
    for i in 0..zip.len() {
        let part = zip.by_index_raw(i).map_err(|error| bad(format!("part {i} of the archive: {error}")))?;
        let name =
            part.name().map_err(|error| bad(format!("part {i} of the archive: {error}")))?.into_owned();
        let start = part.data_start().filter(|_| part.compression() == CompressionMethod::Stored);
        let start = start.ok_or_else(|| bad(format!("{name} is compressed, which PyTorch does not do")))?;
        parts.insert(name, Part { start, bytes: part.size() });
    }
    let pickles: Vec<_> = parts.keys().filter(|name| name.ends_with("data.pkl")).cloned().collect();
    let [pickle] = pickles.as_slice() else {
        let what =
            format!("{} parts named data.pkl in the archive, a checkpoint of PyTorch has 1", pickles.len());
        return Err(bad(what));
    };
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default();
    if parts.contains_key(&format!("{folder}byteorder")) {
        let mut order = String::new();
        let read = zip.by_name(&format!("{folder}byteorder")).map_err(|error| bad(error.to_string()))?;
        read.take(16).read_to_string(&mut order).map_err(Error::io(path))?;
        if order.trim() != "little" {
            return Err(bad(format!("byte order {order}, expected little")));
        }
    }
    let reader = zip.by_name(pickle).map_err(|error| bad(error.to_string()))?;
    if reader.size() > PICKLE_LIMIT {
        return Err(bad(format!("a pickle of {} bytes, expected at most {PICKLE_LIMIT}", reader.size())));
    }
    let object = read_pickle(path, BufReader::new(reader))?;
    let (pairs, key) = tensors_of(path, object, key)?;
    let mut found = Vec::new();
    for (name, value) in pairs {
        let Object::Unicode(name) = name else {
            return Err(bad(format!("a name among the tensors is no text: {}", brief(&name))));
        };
        // What PyTorch notes of a module's version.
        if name == "_metadata" {
            continue;
        }
        let spec =
            Spec::read(&value).ok_or_else(|| bad(format!("{name} is no tensor: {}", brief(&value))))?;
        let storage = format!("{folder}data/{}", spec.storage);
        let part = parts.get(&storage).ok_or_else(|| bad(format!("tensor {name}: there is no {storage}")))?;
        let entry = spec.entry(part).map_err(|what| bad(format!("tensor {name}: {what}")))?;
        found.push((name, entry));
    }
    Ok((found, key))
}

/// The object that a pickle makes, nothing being called.
fn read_pickle(path: &Path, mut reader: impl std::io::BufRead) -> Result<Object> {
    let mut stack = Stack::empty();
    let read = stack.read_loop(&mut reader);
    for object in stack.stack() {
        if let Some(call) = unknown_call(object) {
            let what = format!(
                "its pickle calls {call}, which tensors do not need; it was not called\n\n\
                hint: a program that loads this file in Python runs it: do not, unless you trust its maker; ask for safetensors"
            );
            return Err(Error::content(path, what));
        }
    }
    let strange = |why: String| {
        let named = stack.stack().iter().find_map(unknown_class);
        let named = named.map_or(String::new(), |class| format!("; it names {class}"));
        let what = format!(
            "its pickle is not one that PyTorch writes of tensors: {why}{named}; nothing of it was run"
        );
        Error::content(path, what)
    };
    match read {
        Err(error) => Err(strange(error.to_string().lines().next().unwrap_or_default().to_owned())),
        Ok(()) if stack.stack().len() != 1 => {
            Err(strange(format!("{} objects are left", stack.stack().len())))
        }
        Ok(()) => Ok(stack.finalize()?),
    }
}

/// A class that lies on the stack of a pickle that could not be read, and is not of tensors.
fn unknown_class(object: &Object) -> Option<String> {
    match object {
        Object::Class { module_name, class_name } => {
            let known = module_name.starts_with("torch") || KNOWN.contains(&(module_name, class_name));
            (!known).then(|| format!("{module_name}.{class_name}"))
        }
        _ => None,
    }
}

/// The first call in an object that is not among the known.
fn unknown_call(object: &Object) -> Option<String> {
    match object {
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            let known = match callable.as_ref() {
                Object::Class { module_name, class_name } => {
                    let name = (module_name.as_str(), class_name.as_str());
                    if KNOWN.contains(&name) { None } else { Some(format!("{module_name}.{class_name}")) }
                }
                // The state of an object that was itself made by a call.
                Object::Reduce { .. } | Object::Build { .. } | Object::Dict(_) => unknown_call(callable),
                other => Some(brief(other)),
            };
            known.or_else(|| unknown_call(args))
        }
        Object::PersistentLoad(id) => unknown_call(id),
        Object::Tuple(list) | Object::List(list) => list.iter().find_map(unknown_call),
        Object::Dict(pairs) => pairs.iter().find_map(|(k, v)| unknown_call(k).or_else(|| unknown_call(v))),
        _ => None,
    }
}

/// The dictionary of tensors: what was read, or what stands under a key of it.
fn tensors_of(path: &Path, object: Object, key: Option<&str>) -> Result<(Pairs, Option<String>)> {
    let holds_tensors = |pairs: &Pairs| pairs.iter().any(|(_, value)| Spec::read(value).is_some());
    let Object::Dict(pairs) = object else {
        return Err(Error::content(path, format!("holds no dictionary of tensors: {}", brief(&object))));
    };
    if key.is_none() && holds_tensors(&pairs) {
        return Ok((pairs, None));
    }
    let mut sets: BTreeMap<String, Pairs> = BTreeMap::new();
    for (name, value) in pairs {
        if let (Object::Unicode(name), Object::Dict(set)) = (name, value)
            && holds_tensors(&set)
        {
            sets.insert(name, set);
        }
    }
    let chosen = match key {
        Some(key) => sets.remove_entry(key),
        None => KEYS.iter().find_map(|key| sets.remove_entry(*key)),
    };
    let names = || sets.keys().cloned().collect::<Vec<_>>().join(", ");
    match (chosen, key) {
        (Some((name, set)), _) => Ok((set, Some(name))),
        (None, Some(key)) => {
            Err(Error::content(path, format!("no tensors under the key {key}; there are under: {}", names())))
        }
        (None, None) if sets.is_empty() => Err(Error::content(path, "holds no tensors")),
        (None, None) => {
            let what = format!("tensors under the keys {}\n\nhint: say which with --key", names());
            Err(Error::content(path, what))
        }
    }
}

/// How a pickle says where a tensor lies.
struct Spec {
    storage: String,
    /// The class of its storage, such as `FloatStorage`.
    class: String,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Spec {
    fn read(object: &Object) -> Option<Self> {
        let Object::Reduce { callable, args } = object else { return None };
        let (Object::Class { module_name, class_name }, Object::Tuple(args)) =
            (callable.as_ref(), args.as_ref())
        else {
            return None;
        };
        match (module_name.as_str(), class_name.as_str()) {
            ("torch._utils", "_rebuild_parameter") => Self::read(args.first()?),
            ("torch._tensor", "_rebuild_from_type_v2") => {
                let (callable, args) = (args.first()?.clone(), args.get(2)?.clone());
                Self::read(&Object::Reduce { callable: callable.into(), args: args.into() })
            }
            ("torch._utils", "_rebuild_tensor_v2") => {
                let [Object::PersistentLoad(id), offset, shape, strides, ..] = args.as_slice() else {
                    return None;
                };
                let Object::Tuple(id) = id.as_ref() else { return None };
                let [_, Object::Class { class_name: class, .. }, Object::Unicode(storage), ..] =
                    id.as_slice()
                else {
                    return None;
                };
                let (storage, class) = (storage.clone(), class.clone());
                let (shape, strides) = (whole_numbers(shape)?, whole_numbers(strides)?);
                Some(Self { storage, class, offset: whole_number(offset)?, shape, strides })
            }
            _ => None,
        }
    }

    fn entry(self, part: &Part) -> Result<Entry, String> {
        let dtype = match self.class.as_str() {
            "FloatStorage" => Ok(DType::F32),
            "HalfStorage" => Ok(DType::F16),
            "BFloat16Storage" => Ok(DType::BF16),
            "DoubleStorage" => Ok(DType::F64),
            other => Err(other.to_owned()),
        };
        let Self { shape, strides, offset, .. } = self;
        // Sizes of numbers that are not read do not matter.
        let size = dtype.as_ref().map_or(1, |dtype| dtype.size_in_bytes());
        let steps = shape.iter().zip(&strides);
        let last = steps.clone().try_fold(offset, |last, (size, stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
        });
        let len = shape.iter().try_fold(1usize, |len, size| len.checked_mul(*size));
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(size));
        let fits = len == Some(0) || end.is_some_and(|end| end as u64 <= part.bytes);
        if shape.len() != strides.len() || len.is_none_or(|len| len as u64 > part.bytes) || !fits {
            let bytes = part.bytes;
            return Err(format!(
                "{shape:?} in steps of {strides:?} from {offset} lies outside its {bytes} bytes"
            ));
        }
        Ok(Entry { start: part.start + (offset * size) as u64, shape, dtype, strides })
    }
}

fn whole_number(object: &Object) -> Option<usize> {
    match object {
        Object::Int(number) => usize::try_from(*number).ok(),
        Object::Long(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

fn whole_numbers(object: &Object) -> Option<Vec<usize>> {
    match object {
        Object::Tuple(list) => list.iter().map(whole_number).collect(),
        // torch.Size((…,)).
        Object::Reduce { args, .. } => match args.as_ref() {
            Object::Tuple(args) => whole_numbers(args.first()?),
            _ => None,
        },
        _ => None,
    }
}

/// An object in a few words.
fn brief(object: &Object) -> String {
    let text = format!("{object:?}");
    if text.chars().count() <= 80 { text } else { text.chars().take(80).chain("…".chars()).collect() }
}
