import{j as o}from"./chunk-HGZPIGFO.js";window.tolkyn={sdk:o};
