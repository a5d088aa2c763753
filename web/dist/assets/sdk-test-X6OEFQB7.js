import{e as o}from"./chunk-QOFW4MZK.js";window.tolkyn={sdk:o};
