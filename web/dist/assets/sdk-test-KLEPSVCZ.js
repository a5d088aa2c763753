import{e as o}from"./chunk-7X3MVWYT.js";window.tolkyn={sdk:o};
