import{j as o}from"./chunk-O7GOCTEM.js";window.tolkyn={sdk:o};
