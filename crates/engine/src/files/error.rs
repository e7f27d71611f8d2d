//! Why a checkpoint cannot be read.

use std::path::PathBuf;

use thiserror::Error;

use super::Dtype;
use super::gguf::GgufError;
use super::safetensors::SafetensorsError;

/// Why a checkpoint cannot be read.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum FileError {
    #[error("cannot read {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is neither a file nor a folder; give a .gguf file, a .safetensors file or a model's folder")]
    NotAFile { path: PathBuf },
    #[error("{path} is empty; fetch it again")]
    Empty { path: PathBuf },
    #[error("{path} is a pickle, which can run code when loaded; ask for safetensors or GGUF")]
    Pickle { path: PathBuf },
    #[error("{path} is {kind}; unpack it, and give the .gguf or .safetensors file in it")]
    Archive { path: PathBuf, kind: &'static str },
    #[error("{path} is neither GGUF nor safetensors; weights in another form must be converted first")]
    UnknownFormat { path: PathBuf },
    #[error("{path} is no GGUF file that can be read")]
    Gguf { path: PathBuf, source: GgufError },
    #[error("{path} is no safetensors file that can be read")]
    Safetensors { path: PathBuf, source: SafetensorsError },
    #[error("{folder} has no config.json, which says how the weights are used; put it beside them")]
    NoConfig { folder: PathBuf },
    #[error("{path} has {bytes} bytes, expected at most {most}; it is not what its name says")]
    LargeJson { path: PathBuf, bytes: u64, most: u64 },
    #[error("{path} is not the JSON that was expected")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{path} is JSON but no object; it should hold the settings of the model")]
    NotSettings { path: PathBuf },
    #[error(
        "{folder} holds no weights: expected model.safetensors, model.safetensors.index.json with its shards, or one .gguf file"
    )]
    NoWeights { folder: PathBuf },
    #[error("{folder} holds several weight files: {}; give one of them", names.join(", "))]
    SeveralFiles { folder: PathBuf, names: Vec<String> },
    #[error("{path} is one shard of several; give the folder {folder}")]
    LoneShard { path: PathBuf, folder: PathBuf },
    #[error("{path} is part of a model that is split into {count} files; join them with 'llama-gguf-split --merge'")]
    Split { path: PathBuf, count: u64 },
    #[error(
        "{index} names the shard '{shard}', which is no plain .safetensors file name; the index is damaged or hostile"
    )]
    ShardName { index: PathBuf, shard: String },
    #[error("{index} names the shard '{shard}', which is not there; fetch it")]
    MissingShard { index: PathBuf, shard: String },
    #[error("{index} says that tensor '{tensor}' is in '{shard}', which does not have it; fetch both again")]
    NotInShard { index: PathBuf, shard: String, tensor: String },
    #[error("tensor '{tensor}' is in {first} and in {second}; only one of them can be right")]
    InTwoShards { tensor: String, first: PathBuf, second: PathBuf },
    #[error(
        "numbers of type {dtype} are not decoded; convert the weights to F32, F16, BF16 or a type such as Q4_K or Q8_0"
    )]
    NotDecoded { dtype: Dtype },
    #[error("{bytes} bytes of {dtype} do not make {elements} numbers; the caller has mixed up two tensors")]
    Length { dtype: Dtype, bytes: usize, elements: usize },
}
