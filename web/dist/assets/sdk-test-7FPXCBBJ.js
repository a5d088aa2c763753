import{i as o}from"./chunk-LZVT5GKO.js";window.tolkyn={sdk:o};
