import{e as o}from"./chunk-F3LJ57HT.js";window.tolkyn={sdk:o};
