import{j as o}from"./chunk-3JXJT2Z6.js";window.tolkyn={sdk:o};
