// The SDK as one module under a name that stays: import { connect } from "/sdk.js";
export * from "/assets/index-KN7JW45M.js";
