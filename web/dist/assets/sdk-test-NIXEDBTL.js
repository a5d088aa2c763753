import{e as o}from"./chunk-AIB7HKCI.js";window.tolkyn={sdk:o};
