import{j as o}from"./chunk-ZHKHNLXA.js";window.tolkyn={sdk:o};
