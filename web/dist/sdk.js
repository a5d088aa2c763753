// The SDK as one module under a name that stays: import { connect } from "/sdk.js";
export * from "/assets/index-OMDSEGCN.js";
