//! Model folders that are not sound: an error that names what is wrong, on every engine, and no panic.

use crate::support::{change, engines, model, one_thread};
use avdit_onnx::proto::type_proto::Value;
use avdit_onnx::proto::{AttributeProto, TypeProto, ValueInfoProto, tensor_shape_proto};
use avdit_runtime::{EngineKind, Error, open};
use std::path::Path;

/// The message of every engine, which must be the same for all.
fn message(folder: &Path) -> String {
    let messages: Vec<_> = engines()
        .into_iter()
        .map(|kind| match open(folder, kind, &one_thread()) {
            Ok(_) => panic!("{kind} opened it"),
            Err(error) => error.to_string().replace(&folder.display().to_string(), "MODEL"),
        })
        .collect();
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:#?}");
    messages[0].clone()
}

fn type_of(port: &mut ValueInfoProto) -> &mut TypeProto {
    port.r#type.as_mut().unwrap()
}

fn dim_of(port: &mut ValueInfoProto, axis: usize) -> &mut tensor_shape_proto::Dimension {
    let Some(Value::TensorType(tensor)) = &mut type_of(port).value else { panic!("not a tensor") };
    &mut tensor.shape.as_mut().unwrap().dim[axis]
}

#[test]
fn a_folder_without_a_model() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(message(folder.path()), "cannot read MODEL/config.json");
    let folder = model();
    std::fs::remove_file(folder.path().join("model.onnx")).unwrap();
    assert_eq!(message(folder.path()), "cannot read MODEL/model.onnx");
}

#[test]
fn a_configuration_that_is_not_one() {
    let folder = model();
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(message(folder.path()).starts_with("MODEL/config.json: not the configuration of a model: EOF"));
    std::fs::write(&path, text.replace("avdit-model/1", "avdit-model/9")).unwrap();
    assert_eq!(
        message(folder.path()),
        "MODEL/config.json: not the configuration of a model: format is 'avdit-model/9', this version reads \
         'avdit-model/1'"
    );
}

#[test]
fn a_graph_of_another_network() {
    let folder = model();
    change(folder.path(), |model| model.graph_mut().input[0].name = Some("picture".into()));
    assert_eq!(
        message(folder.path()),
        "graph MODEL/model.onnx: inputs: config.json expects one named video, the graph has picture, audio, \
         video_timesteps, audio_timesteps"
    );

    let folder = model();
    change(folder.path(), |model| {
        let dimension = dim_of(&mut model.graph_mut().input[1], 2);
        dimension.value = Some(tensor_shape_proto::dimension::Value::DimValue(4));
    });
    assert_eq!(
        message(folder.path()),
        "graph MODEL/model.onnx: input audio: config.json expects Float (batch, 5, 3), the graph has \
         Float (batch, 5, 4)"
    );

    let folder = model();
    change(folder.path(), |model| {
        let Some(Value::TensorType(tensor)) = &mut type_of(&mut model.graph_mut().output[0]).value else {
            return;
        };
        tensor.elem_type = Some(11);
    });
    assert_eq!(
        message(folder.path()),
        "graph MODEL/model.onnx: output video_noise: config.json expects Float (batch, 3, 2, 4, 4), the graph has \
         Double (batch, 3, 2, 4, 4)"
    );
}

#[test]
fn a_graph_with_other_inputs_or_outputs() {
    let folder = model();
    change(folder.path(), |model| {
        let mut text = model.graph().input[1].clone();
        text.name = Some("text".into());
        model.graph_mut().input.push(text);
    });
    assert!(message(folder.path()).contains("input text: config.json expects no inputs but video, audio"));

    let folder = model();
    change(folder.path(), |model| model.graph_mut().output.truncate(1));
    assert!(message(folder.path()).ends_with("expects one named audio_noise, the graph has video_noise"));
}

#[test]
fn batches_that_contradict_each_other() {
    let folder = model();
    change(folder.path(), |model| {
        for (port, batch) in model.graph_mut().input.iter_mut().zip([2, 3]) {
            dim_of(port, 0).value = Some(tensor_shape_proto::dimension::Value::DimValue(batch));
        }
    });
    assert!(
        message(folder.path())
            .ends_with("batch of input audio: config.json expects 2, as video, the graph has 3")
    );
}

#[test]
fn weights_that_are_gone_or_cut_off() {
    let folder = model();
    let path = folder.path().join("model.onnx_data");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let text = message(folder.path());
    assert!(
        text.contains("external data MODEL/model.onnx_data: ") && text.contains("the file has"),
        "{text}"
    );
    std::fs::remove_file(&path).unwrap();
    let text = message(folder.path());
    assert!(text.contains("tensor ") && text.contains("model.onnx_data: No such file"), "{text}");
}

#[test]
fn a_file_that_is_not_a_graph() {
    let folder = model();
    let path = folder.path().join("model.onnx");
    let bytes = std::fs::read(&path).unwrap();
    for broken in [&b""[..], b"not a graph", &bytes[..bytes.len() / 2], &[0xff; 64]] {
        std::fs::write(&path, broken).unwrap();
        let text = message(folder.path());
        assert!(text.starts_with("graph MODEL/model.onnx: is not an ONNX model: "), "{text}");
    }
}

#[test]
fn a_value_that_nothing_computes_is_refused() {
    for kind in engines() {
        let folder = model();
        change(folder.path(), |model| model.graph_mut().node[3].input[0] = "nowhere".into());
        match open(folder.path(), kind, &one_thread()) {
            Err(Error::Engine { reason, .. }) => assert!(reason.contains("nowhere"), "{kind}: {reason}"),
            Err(other) => panic!("{kind}: {other}"),
            Ok(_) => panic!("{kind} opened it"),
        }
    }
}

#[test]
fn an_operator_that_an_engine_does_not_have_is_named() {
    for (op, domain) in [("Attention", "com.microsoft"), ("NoSuchOperator", "")] {
        let folder = model();
        change(folder.path(), |model| {
            let node = model.graph_mut().node.iter_mut().find(|node| node.op_type() == "Softmax").unwrap();
            (node.op_type, node.domain) = (Some(op.into()), Some(domain.into()));
            node.attribute.clear();
        });
        for kind in engines() {
            match open(folder.path(), kind, &one_thread()) {
                Err(Error::Engine { engine, path, reason, .. }) => {
                    assert_eq!((engine, path), (kind.name(), folder.path().join("model.onnx")));
                    assert!(reason.contains(op), "{kind}: {reason}");
                    let hinted = reason.contains("hint: `avdit export --target portable`");
                    assert_eq!(hinted, kind == EngineKind::Tract && !domain.is_empty(), "{kind}: {reason}");
                }
                Err(other) => panic!("{kind}: {other}"),
                Ok(_) => panic!("{kind} opened a graph with {domain} {op}"),
            }
        }
    }
}

#[test]
fn axes_that_no_tensor_has_are_refused() {
    type Edit = fn(&mut AttributeProto);
    let edits: [(&str, Edit); 2] =
        [("perm", |perm| perm.ints[0] = perm.ints[1]), ("axis", |axis| axis.i = Some(-(1 << 42)))];
    for (name, edit) in edits {
        let folder = model();
        change(folder.path(), |model| {
            let mut attributes = model.graph_mut().node.iter_mut().flat_map(|node| &mut node.attribute);
            edit(attributes.find(|attribute| attribute.name() == name).unwrap());
        });
        for kind in engines() {
            match open(folder.path(), kind, &one_thread()) {
                Err(Error::Engine { reason, .. }) => {
                    // ONNX Runtime complains of the shapes that follow from it.
                    assert!(kind == EngineKind::OrtCpu || reason.contains(name), "{reason}");
                }
                Err(other) => panic!("{kind}: {other}"),
                Ok(_) => panic!("{kind} opened it"),
            }
        }
    }
}
