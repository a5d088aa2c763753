import{a,b,c,d,e,f,g,h,i}from"./chunk-BB37DFUA.js";export{e as Backoff,h as Client,g as Meter,d as Room,f as Session,a as TolkynError,i as connect,c as describeDevice,b as open};
