import{j as o}from"./chunk-CLTASOIU.js";window.tolkyn={sdk:o};
