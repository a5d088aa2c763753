import{a,b,c,d,e,f,g,h}from"./chunk-CKBGCQVP.js";export{d as Backoff,g as Client,f as Meter,b as Room,e as Session,a as TolkynError,h as connect,c as open};
