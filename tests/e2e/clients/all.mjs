// The clients that buyers have today.
import * as v1 from "./fetch_v1.mjs";
import * as v2 from "./fetch_v2.mjs";
import * as python from "./python.mjs";

export const clients = [v2, v1, python];
