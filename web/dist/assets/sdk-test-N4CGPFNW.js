import{j as o}from"./chunk-R5ZIF5X3.js";window.tolkyn={sdk:o};
