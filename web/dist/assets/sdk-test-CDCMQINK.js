import{j as o}from"./chunk-GC3SIGK4.js";window.tolkyn={sdk:o};
