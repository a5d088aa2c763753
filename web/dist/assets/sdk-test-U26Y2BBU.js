import{j as o}from"./chunk-AQREQ7PE.js";window.tolkyn={sdk:o};
