import{i as o}from"./chunk-CKBGCQVP.js";window.tolkyn={sdk:o};
