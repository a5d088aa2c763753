import{j as o}from"./chunk-6IW5LRL5.js";window.tolkyn={sdk:o};
