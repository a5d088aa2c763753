// A page that shows nothing: automated tests drive the SDK through window.tolkyn.sdk.
import * as sdk from "../client";

(window as { tolkyn?: { sdk: typeof sdk } }).tolkyn = { sdk };
