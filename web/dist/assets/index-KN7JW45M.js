import{a,b,c,d,e,f,g,h,i}from"./chunk-R5ZIF5X3.js";export{e as Backoff,h as Client,g as Meter,d as Room,f as Session,b as TolkynError,i as connect,a as describeDevice,c as open};
