// Embeds the cases of an export's verification folder: `node embed.mjs EXPORT` prints JSON.
// The pixels of image number N lie in N.bin, float32.
import fs from "node:fs";
import path from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-web";

const folder = process.argv[2];
const read = (name) => JSON.parse(fs.readFileSync(path.join(folder, name), "utf8"));
const open = (name) => ort.InferenceSession.create(fs.readFileSync(path.join(folder, name)));
ort.env.wasm.numThreads = 1;

const tokenizer = new Tokenizer(read("tokenizer.json"), {});
const text = await open("onnx/text_encoder.onnx");
const captions = [];
for (const { text: caption } of read("verification/captions.json")) {
  const { ids } = tokenizer.encode(caption);
  const tensor = new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]);
  const { embedding } = await text.run({ token_ids: tensor });
  captions.push({ ids, embedding: Array.from(embedding.data) });
}

const { height, width } = read("manifest.json").preprocessing;
const image = await open("onnx/image_encoder.onnx");
const images = [];
for (const number of read("verification/images.json").keys()) {
  const bytes = fs.readFileSync(`${number}.bin`);
  const pixels = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const tensor = new ort.Tensor("float32", pixels, [1, height, width, 3]);
  images.push(Array.from((await image.run({ pixels: tensor })).embedding.data));
}
process.stdout.write(JSON.stringify({ captions, images }));
