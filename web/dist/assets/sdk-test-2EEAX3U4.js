import{j as o}from"./chunk-BB37DFUA.js";window.tolkyn={sdk:o};
