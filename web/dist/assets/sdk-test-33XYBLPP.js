import{e as o}from"./chunk-VL57EQJC.js";window.tolkyn={sdk:o};
